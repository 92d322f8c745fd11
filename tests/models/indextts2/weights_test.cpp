#include "models/indextts2/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/models/indextts2/gpt_fixture.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"

namespace ttsft::indextts2::test {
namespace {

using testing::HasSubstr;
using Tensors = std::vector<std::pair<std::string, torch::Tensor>>;

Tensors released() {
  Tensors tensors;
  const auto file = open_gpt(fixture_config().gpt_file);
  for (const TensorView& view : file->tensors()) tensors.emplace_back(view.name, copy_tensor(view));
  return tensors;
}

std::shared_ptr<const TensorFile> reopened(const Tensors& tensors) {
  const TemporaryFolder folder;
  save_tensors(folder / "gpt.safetensors", tensors);
  return open_gpt(folder / "gpt.safetensors");
}

void expect_released(const TensorFile& file) {
  const auto wanted = open_gpt(fixture_config().gpt_file);
  ASSERT_EQ(file.tensors().size(), wanted->tensors().size());
  for (const TensorView& view : wanted->tensors())
    expect_equal(copy_tensor(file.at(view.name)), copy_tensor(view), view.name);
}

TEST(GptWeights, EveryTensorHasItsModule) {
  const auto file = open_gpt(fixture_config().gpt_file);
  UnifiedVoice gpt = fixture_gpt();
  Conditioner conditioner = load_conditioner(file, fixture_config().gpt, torch::kCPU);
  std::set<std::string> names;
  for (const torch::nn::Module* module : {static_cast<torch::nn::Module*>(gpt.get()),
                                          static_cast<torch::nn::Module*>(conditioner.get())}) {
    for (const auto& item : module->named_parameters()) names.insert(item.key());
    for (const auto& item : module->named_buffers()) names.insert(item.key());
  }
  std::set<std::string> stored;
  for (const TensorView& view : file->tensors()) stored.insert(view.name);
  EXPECT_EQ(names, stored);
}

TEST(GptWeights, TheLanguageModelIsWhatUpstreamTrains) {
  // Upstream's list of prefixes without gradient; the rest is ours, and is all of UnifiedVoice.
  const auto frozen =
      expected_json("train_full")["tensors_without_gradient"].get<std::vector<std::string>>();
  std::set<std::string> trained, ours;
  const auto file = open_gpt(fixture_config().gpt_file);
  for (const TensorView& view : file->tensors()) {
    const bool without = std::any_of(frozen.begin(), frozen.end(), [&](const std::string& prefix) {
      return view.name.starts_with(prefix + ".");
    });
    if (!without) trained.insert(view.name);
  }
  UnifiedVoice gpt = fixture_gpt();
  for (const auto& item : gpt->named_parameters()) ours.insert(item.key());
  EXPECT_EQ(ours, trained);
}

TEST(GptWeights, TrainersCheckpointsHoldMoreThanTheModel) {
  Tensors saved;
  for (const auto& [name, tensor] : released()) saved.emplace_back("model." + name, tensor);
  saved.emplace_back("optimizer.state.0.exp_avg", torch::ones({3}));
  saved.emplace_back("rng_state.torch", torch::ones({8}));
  expect_released(*reopened(saved));
}

TEST(GptWeights, ForeignNamesAreDroppedOrRenamed) {
  Tensors saved;
  for (const auto& [name, tensor] : released()) {
    const size_t at = name.find(".c_attn.");
    if (at == std::string::npos) {
      saved.emplace_back(name, tensor);
      continue;
    }
    saved.emplace_back(name.substr(0, at) + ".c_attn.base_layer." + name.substr(at + 8), tensor);
    saved.emplace_back(name.substr(0, at) + ".c_attn.lora_A.default.weight", torch::ones({2}));
  }
  saved.emplace_back("inference_model.transformer.h.0.ln_1.weight", torch::ones({4}));
  saved.emplace_back("gpt.wte.weight", torch::ones({4, 4}));
  // The same tensor may stand twice after c_attn's weight and bias were renamed.
  Tensors unique;
  std::set<std::string> seen;
  for (const auto& item : saved)
    if (seen.insert(item.first).second) unique.push_back(item);
  expect_released(*reopened(unique));
}

TEST(GptWeights, HalfPrecisionFilesAreRead) {
  Tensors saved = released();
  for (auto& [name, tensor] : saved) tensor = tensor.to(torch::kFloat16);
  const auto file = reopened(saved);
  UnifiedVoice gpt = load_gpt(file, fixture_config().gpt, 0.0, torch::kCPU, torch::kFloat32);
  EXPECT_EQ(gpt->mel_head->weight.scalar_type(), torch::kFloat32);
  expect_close(gpt->mel_head->weight, fixture_gpt()->mel_head->weight, 1e-3);
}

TEST(GptWeights, IncompleteFilesAreRefused) {
  EXPECT_THAT(message_of<DataError>([] {
                return reopened({{"a", torch::ones({1})}});
              }),
              HasSubstr("gpt.ln_f.weight"));
  Tensors saved = released();
  std::erase_if(saved, [](const auto& item) {
    return item.first == "mel_head.bias" || item.first == "emo_layer.weight";
  });
  saved.emplace_back("gpt.wpe.weight", torch::ones({1}));
  const auto file = reopened(saved);
  const auto load = [&] {
    return load_gpt(file, fixture_config().gpt, 0.0, torch::kCPU, torch::kFloat32);
  };
  EXPECT_THAT(message_of<DataError>(load), HasSubstr("missing (mel_head.bias)"));
  EXPECT_THAT(message_of<DataError>(load), HasSubstr("unexpected (gpt.wpe.weight)"));
  EXPECT_THAT(message_of<DataError>(
                  [&] { return load_conditioner(file, fixture_config().gpt, torch::kCPU); }),
              HasSubstr("missing (emo_layer.weight)"));
}

}  // namespace
}  // namespace ttsft::indextts2::test
