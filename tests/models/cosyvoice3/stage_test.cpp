// Both stages against upstream's steps of training, and what they leave behind.
#include "models/cosyvoice3/stage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <thread>

#include "models/cosyvoice3/voice.h"
#include "models/cosyvoice3/weights.h"
#include "tests/models/cosyvoice3/cosyvoice3_fixture.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/upstream_training.h"
#include "ttsft/core/error.h"
#include "ttsft/core/signals.h"
#include "ttsft/eval/eval.h"
#include "ttsft/export/export.h"
#include "ttsft/io/json_reader.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/model/checkpoint.h"
#include "ttsft/prep/prep.h"

namespace ttsft::cosyvoice3::test {
namespace {

namespace fs = std::filesystem;
using ttsft::test::expect_steps;
using ttsft::test::train_steps;
using ttsft::test::written_tensor;

// The fixture's clips prepared, and its checkpoint.
class StageTest : public testing::Test {
 protected:
  StageTest() : config_(default_run("cosyvoice3")) {
    config_.checkpoint = fixture().path("checkpoint");
    config_.run = folder_ / "run";
    config_.device = "cpu";
    config_.data.source = write_source(fixture().path("audio"));
    config_.data.prepared = folder_ / "prepared";
    config_.data.speaker = "s";
    options().bistream = 0;
    ttsft::test::use_upstreams_settings(config_, "full", 3);
    config_.train.optimizer.weight_decay = 0.01;
    run_prep(config_, find_model("cosyvoice3"), {});
  }
  // The golden's clips with their instructions.
  fs::path write_source(const fs::path& audio) const {
    std::map<std::string, std::map<std::string, std::string>> rows;
    for (const char* table : {"text", "instruct"}) {
      std::istringstream lines(read_text(fixture().path("expected/prep/" + std::string(table))));
      for (std::string id, rest; lines >> id && std::getline(lines >> std::ws, rest);)
        rows[id][table] = rest;
    }
    std::string text;
    for (const auto& [id, row] : rows) {
      nlohmann::ordered_json json = {{"id", id}, {"audio", (audio / (id + ".wav")).string()}};
      for (const auto& [key, value] : row) json[key] = value;
      text += json.dump() + "\n";
    }
    return folder_.write("clips.jsonl", text);
  }
  Options& options() { return static_cast<Options&>(*config_.model_options); }
  // Upstream's eight steps.
  static nlohmann::json steps_of(const std::string& file) {
    const nlohmann::json& run = expected_json(file);
    nlohmann::json steps;
    for (size_t i = 0; i < run["losses"].size(); ++i)
      steps.push_back({{"loss", run["losses"][i]}, {"grad_norm", run["grad_norms"][i]}});
    return steps;
  }
  fs::path last() const { return resolve_checkpoint(config_, "last").folder; }
  std::shared_ptr<const TensorFile> released(const std::string& name) const {
    return open_tensor_file(fixture().path("checkpoint/" + name));
  }

  TemporaryFolder folder_;
  RunConfig config_;
};

TEST_F(StageTest, LoraIsUpstreams) {
  config_.train.method = "lora";
  ttsft::test::use_upstreams_adapter(config_, fixture().path("expected"), folder_ / "init");
  config_.lora.alpha = 16;
  config_.lora.dropout = 0;
  const auto steps = train_steps(config_);
  expect_steps(steps, "loss", steps_of("train_lora"), "loss", 1e-5);
  expect_steps(steps, "grad_norm", steps_of("train_lora"), "grad_norm", 1e-4);
  const auto written = open_tensor_file(last() / "adapter_model.safetensors");
  const auto wanted = fixture().file("expected/adapter_final.safetensors");
  ASSERT_EQ(written->tensors().size(), wanted->tensors().size());
  for (const TensorView& view : wanted->tensors())
    expect_close(copy_tensor(written->at(view.name)), copy_tensor(view), 1e-5, view.name);
}

TEST_F(StageTest, FullTrainingIsUpstreamsAndTheTiedTableMovesOnce) {
  const auto steps = train_steps(config_);
  expect_steps(steps, "loss", steps_of("train_full"), "loss", 1e-5);
  expect_steps(steps, "grad_norm", steps_of("train_full"), "grad_norm", 1e-4);
  const auto written = open_tensor_file(last() / "llm.pt");
  const TensorView &table = written->at("llm.model.model.embed_tokens.weight"),
                   &head = written->at("llm.model.lm_head.weight");
  EXPECT_EQ(table.bytes.data(), head.bytes.data()) << "one storage";
  EXPECT_EQ(written->tensors().size(), released("llm.pt")->tensors().size())
      << "no epoch, no step, every name";
  EXPECT_FALSE(torch::equal(copy_tensor(table), copy_tensor(released("llm.pt")->at(table.name))));
}

TEST_F(StageTest, TheTalkerThatIsTrainedIsTheOneThatIsChosen) {
  const fs::path copy = folder_ / "checkpoint";
  fs::copy(fixture().path("checkpoint"), copy, fs::copy_options::recursive);
  // Another talker: its head says the opposite.
  const auto base = released("llm.pt");
  const torch::Tensor head = copy_tensor(base->at("llm_decoder.weight"));
  write_weights(copy / "llm.rl.pt", as_they_are(base->tensors()),
                {{"llm_decoder.weight", [&] { return -head; }}});
  config_.checkpoint = copy;
  options().talker = "rl";
  config_.train.steps = 1;
  run_train(config_, find_model("cosyvoice3"), {});
  EXPECT_TRUE(fs::is_symlink(last() / "llm.pt") || fs::hard_link_count(last() / "llm.pt") > 1)
      << "the other talker is the release's";
  const torch::Tensor trained =
      copy_tensor(open_tensor_file(last() / "llm.rl.pt")->at("llm_decoder.weight"));
  expect_close(trained, -head, 0.01, "it began from llm.rl.pt");
  const auto report = run_eval(config_, find_model("cosyvoice3"), {});
  EXPECT_NE(report["checkpoints"][0]["loss"], report["checkpoints"][1]["loss"]);
  fs::remove(copy / "llm.rl.pt");
  EXPECT_THROW(run_train(config_, find_model("cosyvoice3"), {}), Error) << "there is none";
}

TEST_F(StageTest, AnAdapterOfTheFlowHasItsLinearsAndChangesThem) {
  config_.train.stage = "flow";
  config_.train.method = "lora";
  config_.lora.targets.endings.clear();  // the stage's own
  config_.train.steps = 4;
  config_.train.dropout = 0;
  run_train(config_, find_model("cosyvoice3"), {});
  std::set<std::string> sites;
  bool moved = false;
  const auto adapter = open_tensor_file(last() / "adapter_model.safetensors");
  for (const TensorView& view : adapter->tensors()) {
    std::string site = view.name.substr(0, view.name.find(".lora_"));
    site.erase(0, site.find("transformer_blocks.") + 19);
    if (site.starts_with("1.")) sites.insert(site.substr(2));
    if (view.name.ends_with("lora_B.weight"))
      moved = moved || copy_tensor(view).abs().max().item<double>() > 0;
  }
  EXPECT_EQ(sites, (std::set<std::string>{"attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0",
                                          "ff.ff.0.0", "ff.ff.2"}));
  EXPECT_TRUE(moved);
  EXPECT_TRUE(read_json_object(last() / "adapter_config.json")["task_type"].is_null())
      << "PEFT would look for a language model of Hugging Face";

  ExportOptions out;
  out.out = folder_ / "out";
  out.checkpoints = {"flow=last"};
  run_export(config_, find_model("cosyvoice3"), out);
  const auto merged = open_tensor_file(out.out / kFlowFile), base = released(kFlowFile);
  ASSERT_EQ(merged->tensors().size(), base->tensors().size());
  for (const TensorView& view : base->tensors()) {
    const bool site = view.name.find("transformer_blocks.") != std::string::npos &&
                      view.name.ends_with(".weight") &&
                      view.name.find("attn_norm") == std::string::npos;
    EXPECT_EQ(torch::equal(copy_tensor(merged->at(view.name)), copy_tensor(view)), !site)
        << view.name;
  }
}

// Layouts, masks, prompts, times and noise are drawn anew in every step, and are the same again.
TEST_F(StageTest, ARunThatIsContinuedIsTheOneThatWasNotStopped) {
  options().bistream = 0.5;
  config_.train.batch_utterances = 2;
  config_.train.shuffle = true;
  const ModelAdapter& model = find_model("cosyvoice3");
  install_signal_handlers();
  for (const char* stage : {"lm", "flow"}) {
    for (const char* method : {"lora", "full"}) {
      RunConfig whole = config_;
      whole.run = folder_ / (std::string(stage) + "-" + method);
      whole.train.stage = stage;
      whole.train.method = method;
      whole.train.steps = 40;
      RunConfig parts = whole;
      parts.run += "-in-parts";
      run_train(whole, model, {});
      std::thread stopper([&] {
        const fs::path metrics = parts.run / "metrics.jsonl";
        std::error_code absent;
        while (fs::file_size(metrics, absent) < 1000 || absent) std::this_thread::yield();
        std::raise(SIGTERM);
      });
      EXPECT_THROW(run_train(parts, model, {}), Stopped);
      stopper.join();
      clear_stop_signal();
      EXPECT_GT(run_train(parts, model, {})["resumed_from"], 0);
      const auto weights = [&](const RunConfig& config) {
        const bool lora = config.train.method == "lora";
        const std::string file = lora ? "adapter_model.safetensors"
                                      : (config.train.stage == "lm" ? "llm.pt" : kFlowFile);
        return open_tensor_file(resolve_checkpoint(config, "last").folder / file);
      };
      const auto wanted = weights(whole), got = weights(parts);
      for (const TensorView& view : wanted->tensors())
        expect_equal(copy_tensor(got->at(view.name)), copy_tensor(view),
                     std::string(stage) + " " + method + " " + view.name);
    }
  }
}

TEST_F(StageTest, ACheckpointBringsTheVoiceOfItsSet) {
  config_.train.steps = 1;
  run_train(config_, find_model("cosyvoice3"), {});
  const auto names = stored_voices(last());
  EXPECT_THAT(names, testing::IsSupersetOf(stored_voices(config_.checkpoint)));
  const Voice voice = stored_voice(last(), "s", /*vector_only=*/true, 80);
  expect_close(voice.flow.embedding, expected("prep", "spk_embedding").flatten(), 1e-4);
}

TEST_F(StageTest, EntriesOfUpstreamsTrainerAreLeftOut) {
  const fs::path copy = folder_ / "checkpoint";
  fs::copy(fixture().path("checkpoint"), copy, fs::copy_options::recursive);
  const auto file = TorchFile::open(fixture().path("checkpoint/llm.pt"));
  TorchValue::Dict entries = *file->root().dict();
  entries.push_back({"epoch", {int64_t{3}}});
  entries.push_back({"step", {int64_t{500}}});
  fs::remove(copy / "llm.pt");
  write_torch_file(copy / "llm.pt", TorchValue{entries});
  config_.checkpoint = copy;
  config_.train.steps = 1;
  run_train(config_, find_model("cosyvoice3"), {});
  const auto written = TorchFile::open(last() / "llm.pt");
  EXPECT_EQ(written->root().find("epoch"), nullptr);
  EXPECT_EQ(written->root().dict()->size(), file->root().dict()->size());
}

TEST_F(StageTest, TensorsOfAnotherModelAreNamed) {
  const fs::path copy = folder_ / "checkpoint";
  fs::copy(fixture().path("checkpoint"), copy, fs::copy_options::recursive);
  const auto base = released("llm.pt");
  std::vector<WrittenTensor> tensors = as_they_are(base->tensors());
  std::erase_if(tensors, [](const auto& one) { return one.name == "llm.model.model.norm.weight"; });
  fs::remove(copy / "llm.pt");
  write_weights(copy / "llm.pt", tensors, {});
  config_.checkpoint = copy;
  EXPECT_THAT(message_of<DataError>([&] { run_train(config_, find_model("cosyvoice3"), {}); }),
              testing::HasSubstr("model.norm.weight"));
}

TEST_F(StageTest, TheFlowNeedsItsRecordings) {
  config_.train.stage = "flow";
  const fs::path gone = folder_ / "moved";
  fs::copy(fixture().path("audio"), gone);
  config_.data.source = write_source(gone);
  config_.data.prepared = folder_ / "prepared-of-moved";
  run_prep(config_, find_model("cosyvoice3"), {});
  fs::remove_all(gone);
  EXPECT_THAT(message_of<DataError>([&] { run_train(config_, find_model("cosyvoice3"), {}); }),
              testing::HasSubstr("keep them where prep found them"));
}

}  // namespace
}  // namespace ttsft::cosyvoice3::test
