// Numbers are transformers' own: tools/upstream/judge/whisper.py.
#include "ttsft/judge/whisper_model.h"

#include <gtest/gtest.h>

#include "support/tensor_test.h"
#include "support/test_device.h"
#include "ttsft/io/safetensors.h"
#include "ttsft/judge/whisper_features.h"
#include "ttsft/judge/whisper_files.h"
#include "whisper_support.h"

namespace ttsft {
namespace {

using test::expect_close;
using test::whisper_expected;
using test::whisper_features_of_rows;

TEST(WhisperModel, EncoderAndLogitsAreUpstreams) {
  c10::InferenceMode guard;
  const torch::Device device = test::test_device();
  const WhisperFolder folder = read_whisper_folder(test::kWhisper / "hf");
  Whisper whisper = load_whisper(folder, device, torch::kFloat32);
  const SafetensorsReader expected = whisper_expected();
  const torch::Tensor encoded =
      whisper->encoder(whisper_features_of_rows(device));
  ASSERT_EQ(encoded.size(0), 4);
  expect_close(encoded.narrow(0, 1, 2), copy_tensor(expected.at("encoded")),
               1e-4, "encoded");

  const WhisperHeard heard = whisper->decoder->hear(encoded);
  KvCache cache = whisper->decoder->make_cache(4);
  const torch::Tensor ids = copy_tensor(expected.at("decoder_ids")).to(device);
  const torch::Tensor logits =
      whisper->decoder->logits(whisper->decoder(ids, cache, heard));
  expect_close(logits.narrow(0, 1, 2), copy_tensor(expected.at("logits")), 1e-4,
               "logits");
}

TEST(WhisperModel, OneTokenAtATimeAndBeamsGiveTheSame) {
  c10::InferenceMode guard;
  const torch::Device device = test::test_device();
  Whisper whisper = load_whisper(read_whisper_folder(test::kWhisper / "hf"),
                                 device, torch::kFloat32);
  const torch::Tensor ids =
      copy_tensor(whisper_expected().at("decoder_ids")).to(device);
  const WhisperHeard heard = whisper->decoder->hear(
      whisper->encoder(whisper_features_of_rows(device)));
  KvCache whole = whisper->decoder->make_cache(4);
  const torch::Tensor at_once =
      whisper->decoder(ids, whole, heard); // [4, T, D]
  // Two beams of each window, that say the same.
  KvCache cache = whisper->decoder->make_cache(8);
  const torch::Tensor doubled = ids.repeat_interleave(2, 0);
  std::vector<torch::Tensor> steps;
  for (int64_t i = 0; i < ids.size(1); ++i)
    steps.push_back(whisper->decoder(doubled.narrow(1, i, 1), cache, heard));
  expect_close(torch::cat(steps, 1), at_once.repeat_interleave(2, 0), 1e-5);
}

TEST(WhisperFeatures, AreUpstreams) {
  const torch::Device device = test::test_device();
  const SafetensorsReader expected = whisper_expected();
  const torch::Tensor rows = whisper_features_of_rows(device);
  expect_close(rows[1].slice(1, 0, std::nullopt, 5),
               copy_tensor(expected.at("features")), 1e-4);

  // Half a minute with speech up to its end, and with silence behind 13 s.
  std::vector<float> speech;
  for (int i = 0; i < 3; ++i) {
    for (const auto &[name, samples] :
         {std::pair{"austen-0870", 112000}, std::pair{"austen-0920", 96000}}) {
      const std::vector<float> clip =
          test::austen(name, 0, static_cast<size_t>(samples));
      speech.insert(speech.end(), clip.begin(), clip.end());
    }
  }
  speech.resize(480000);
  const torch::Tensor frames = copy_tensor(expected.at("frames")).to(device);
  for (const int64_t mels : {80, 128}) {
    const WhisperFeatures features(mels, device);
    const std::string size = std::to_string(mels);
    expect_close(features(speech, 3000).index_select(1, frames),
                 copy_tensor(expected.at("released_full_" + size)), 1e-4,
                 "full " + size);
    expect_close(
        features(std::span(speech).first(208000), 3000).index_select(1, frames),
        copy_tensor(expected.at("released_short_" + size)), 1e-4,
        "short " + size);
  }
}

} // namespace
} // namespace ttsft
