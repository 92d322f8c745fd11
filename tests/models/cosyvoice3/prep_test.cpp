// From recordings to rows and to upstream's own files.
#include "models/cosyvoice3/prep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "models/cosyvoice3/upstream_files.h"
#include "tests/models/cosyvoice3/cosyvoice3_fixture.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/data/sampler.h"
#include "ttsft/io/parquet.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/model/registry.h"
#include "ttsft/prep/prep.h"

namespace ttsft::cosyvoice3::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

class Prep : public testing::Test {
 protected:
  Prep() : config_(default_run("cosyvoice3")) {
    config_.checkpoint = fixture().path("checkpoint");
    config_.run = folder_ / "run";
    config_.device = "cpu";
    config_.data.source = fixture().path("audio/metadata.csv");
    config_.data.prepared = folder_ / "prepared";
    config_.data.speaker = "s";
    config_.data.validation.share = 0;
  }
  nlohmann::ordered_json prep() { return run_prep(config_, find_model("cosyvoice3"), {}); }
  std::string warnings() {
    testing::internal::CaptureStderr();
    prep();
    return testing::internal::GetCapturedStderr();
  }
  std::map<std::string, nlohmann::ordered_json> rows() const {
    std::map<std::string, nlohmann::ordered_json> found;
    for (const PreparedRow& row : PreparedSet::open(config_.data.prepared, "cosyvoice3").all())
      found[row.id] = row.row;
    return found;
  }
  std::string rejected() const { return read_text(config_.data.prepared / "rejected.jsonl"); }
  // A clip of so many seconds of speech, over and over.
  void write_clip(const std::string& id, double seconds, const std::string& text) const {
    const Audio speech = fixture().audio("ref");
    std::vector<float> samples(static_cast<size_t>(seconds * speech.sample_rate));
    for (size_t i = 0; i < samples.size(); ++i)
      samples[i] = speech.samples[i % speech.samples.size()];
    fs::create_directories(folder_ / "set");
    write_wav(folder_ / ("set/" + id + ".wav"), samples, speech.sample_rate);
    folder_.write("set/" + id + ".txt", text);
  }

  TemporaryFolder folder_;
  RunConfig config_;
};

TEST_F(Prep, CodesAndVectorsAreUpstreams) {
  EXPECT_EQ(prep()["train"], 3);
  for (const auto& [id, row] : rows()) {
    const torch::Tensor codes = expected("prep", id + ".speech_token").flatten();
    expect_equal(torch::tensor(row["speech_token"].get<std::vector<int64_t>>()),
                 codes.to(torch::kInt64), id);
    expect_close(torch::tensor(row["utt_embedding"].get<std::vector<double>>()),
                 expected("prep", id + ".utt_embedding").flatten(), 1e-4, id);
  }
}

TEST(Mel, OfTrainingIsUpstreams) {
  for (const char* id : {"a", "c", "ref"})
    expect_close(training_mel(resampled(fixture().audio(id), kOutputRate)),
                 expected("prep", std::string(id) + ".speech_feat"), 1e-4, id);
}

// Frames of every front end for lengths around their roundings.
TEST(Mel, LengthsAreUpstreams) {
  const MelExtractor prompt(s3_flow_mel_options(/*fmax=*/0), torch::kCPU);
  for (const auto& one : expected_json("lengths")) {
    const auto samples = one["samples_24k"].get<int64_t>();
    if (samples > 100000) continue;  // half a minute each
    const Audio audio{std::vector<float>(static_cast<size_t>(samples), 0.1F), kOutputRate};
    const auto wave16k = resampled(audio, kTokenizerRate);
    EXPECT_EQ(std::ssize(wave16k), one["samples_16k"].get<int64_t>()) << samples;
    EXPECT_EQ(training_mel(audio.samples).size(0), one["train_mel_frames"].get<int64_t>())
        << samples;
    EXPECT_EQ(prompt(torch::tensor(audio.samples)).size(0), one["prompt_mel_frames"].get<int64_t>())
        << samples;
    EXPECT_EQ((std::ssize(wave16k) / 160 + 3) / 4, one["speech_tokens"].get<int64_t>()) << samples;
  }
}

TEST(Filter, IsUpstreams) {
  const FilterConfig filter = read_config(fixture().path("checkpoint")).filter;
  for (const auto& one : expected_json("filter"))
    EXPECT_EQ(filtered(filter, one["seconds"], one["text_tokens"]).empty(), one["kept"].get<bool>())
        << one;
}

// Upstream's dynamic batches are ours without shuffling: grown while the longest row times the
// count stays within the budget.
TEST(Batches, AreUpstreams) {
  for (const auto& one : expected_json("dynamic_batch")) {
    SamplerOptions options;
    options.batch_tokens = one["max_frames_in_batch"];
    options.shuffle = false;
    Sampler sampler(one["frames"].get<std::vector<int64_t>>(), options);
    EXPECT_EQ(sampler.epoch(0), one["batches"].get<std::vector<std::vector<int64_t>>>()) << one;
  }
}

TEST_F(Prep, AClipOfMoreThanHalfAMinuteIsEncodedInWindows) {
  write_clip("long", 31, "A clip of half a minute and one second, which upstream drops.");
  config_.data.source = folder_ / "set";
  EXPECT_EQ(prep()["train"], 1);
  EXPECT_EQ(rows().at("long")["speech_token"].size(), 31u * 25u);
}

TEST_F(Prep, WhatUpstreamDropsIsSaidWithItsReason) {
  write_clip("short", 0.5, "Too short.");
  write_clip("wordy", 4, [] {
    std::string text;
    for (int i = 0; i < 70; ++i) text += "zq ";
    return text;
  }());
  write_clip("empty", 1.5, "   ");
  write_clip("fine", 1.5, "It is fine.");
  config_.data.source = folder_ / "set";
  EXPECT_EQ(prep()["train"], 1);
  EXPECT_THAT(rejected(), AllOf(HasSubstr("short"), HasSubstr("tokens of text, upstream's filter"),
                                HasSubstr("\"empty\"")));
}

TEST_F(Prep, AMissingInstructIsCountedAndOneThatIsGivenIsKept) {
  EXPECT_THAT(warnings(), HasSubstr("clips have no instruct"));
  EXPECT_EQ(rows().at("a")["instruct"], "You are a helpful assistant.<|endofprompt|>");
  config_.data.instruct = "Speak softly.";
  EXPECT_THAT(warnings(), testing::Not(HasSubstr("no instruct")));
  EXPECT_EQ(rows().at("a")["instruct"],
            "You are a helpful assistant. Speak softly.<|endofprompt|>");
}

TEST_F(Prep, TokensInATextAreTold) {
  write_clip("phones", 1.5, "He says [s] and [breath] twice.");
  config_.data.source = folder_ / "set";
  EXPECT_THAT(warnings(), AllOf(HasSubstr("[s] in 1"), HasSubstr("[breath] in 1")));
}

TEST_F(Prep, UpstreamsFilesAreReadAgainAndSayTheSame) {
  prep();
  const auto first = rows();
  const fs::path upstream = config_.data.prepared / "train";
  for (const char* name : {"wav.scp", "text", "utt2spk", "spk2utt", "instruct"})
    EXPECT_TRUE(fs::exists(upstream / name)) << name;
  const auto codes = TorchFile::open(upstream / "utt2speech_token.pt");
  ASSERT_NE(codes->root().find("a"), nullptr);
  const auto* list = std::get_if<TorchValue::List>(&codes->root().find("a")->data);
  ASSERT_NE(list, nullptr) << "a list of whole numbers";
  EXPECT_EQ(list->size(), 30u);
  std::vector<fs::path> sources = {upstream};
  if (parquet_available()) sources.push_back(upstream / "parquet");
  for (const fs::path& source : sources) {
    config_.data.source = source;
    config_.data.prepared = folder_ / ("again-" + source.filename().string());
    const auto report = prep();
    EXPECT_EQ(report["train"], 3) << source;
    for (const auto& [id, row] : rows()) {
      for (const char* key : {"text", "speech_token", "utt_embedding", "instruct"})
        EXPECT_EQ(row[key], first.at(id)[key]) << source << " " << id << " " << key;
    }
  }
}

TEST_F(Prep, ShardsHaveTheSchemaOfUpstreams) {
  if (!parquet_available()) GTEST_SKIP() << "built without Arrow";
  prep();
  const fs::path folder = config_.data.prepared / "train/parquet";
  ParquetReader own(folder / "parquet_000000000.tar");
  ParquetReader theirs(fixture().path("expected/prep/parquet/parquet_000000000.tar"));
  EXPECT_EQ(own.columns(), theirs.columns());
  EXPECT_EQ(read_text(folder / "data.list"), (folder / "parquet_000000000.tar").string() + "\n");
  ParquetRow row;
  ASSERT_TRUE(own.next(row));
  const auto column = [&](const char* name) { return row[static_cast<size_t>(own.column(name))]; };
  const std::string id = std::get<std::string>(column("utt"));
  EXPECT_EQ(std::get<std::string>(column("audio_data")),
            read_text(fixture().path("audio/" + id + ".wav")));
  EXPECT_EQ(std::get<std::vector<double>>(column("spk_embedding")).size(), 192u);
}

TEST_F(Prep, ACodeBehindTheCodebookIsRefused) {
  folder_.write("codes.jsonl", R"({"id": "x", "text": "hello there", "speech_token": [1, 6561],)"
                               R"( "utt_embedding": [0.1]})"
                               "\n");
  config_.data.source = folder_ / "codes.jsonl";
  const std::string message = message_of<DataError>([&] { prep(); });
  EXPECT_THAT(message + (fs::exists(config_.data.prepared / "rejected.jsonl") ? rejected() : ""),
              HasSubstr("6561"));
}

}  // namespace
}  // namespace ttsft::cosyvoice3::test
