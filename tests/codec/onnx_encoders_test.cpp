// The encoders of CosyVoice 3 from their ONNX files, against what onnxruntime computes with them.
#include "ttsft/codec/onnx_encoders.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/model_fixture.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/audio/sinc_resample.h"
#include "ttsft/codec/campplus.h"
#include "ttsft/codec/s3_tokenizer.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using test::expect_close;
using test::expect_equal;
using ::testing::HasSubstr;

const test::ModelFixture kFixture("cosyvoice3");
const std::vector<std::string> kClips = {"a", "c", "ref"};

std::shared_ptr<const OnnxFile> open(const std::string& name) {
  return OnnxFile::open(kFixture.path("checkpoint/" + name));
}

torch::Tensor wave16k(const std::string& clip) {
  const Audio audio = kFixture.audio(clip);
  return torch::tensor(
      resample_sinc(audio.samples, audio.sample_rate, kS3SampleRate, KernelPrecision::kDouble));
}

S3Tokenizer tokenizer() {
  const auto weights = s3_tokenizer_weights(open("speech_tokenizer_v3.onnx"));
  const int64_t width = weights->at("encoder.conv1.weight").shape[0];
  return load_s3_tokenizer(weights, "", width / kS3HeadDim, torch::kCPU);
}

TEST(OnnxEncoders, CodesAreUpstreams) {
  S3Tokenizer network = tokenizer();
  std::vector<torch::Tensor> waves;
  for (const std::string& clip : kClips) waves.push_back(wave16k(clip));
  const std::vector<torch::Tensor> codes = network->encode(waves);  // in one batch
  for (size_t i = 0; i < kClips.size(); ++i) {
    const torch::Tensor expected = kFixture.expected("prep", kClips[i] + ".speech_token");
    expect_equal(codes[i], expected.flatten().to(torch::kInt64), kClips[i]);
  }
}

TEST(OnnxEncoders, SpeakerVectorsAreThoseOfBothOnnxruntimes) {
  const auto weights = campplus_weights(open("campplus.onnx"));
  for (const bool pinned : {false, true}) {
    Campplus network = load_campplus(weights, "", torch::kCPU,
                                     pinned ? SegmentMean::kOfAll : SegmentMean::kOfItsFrames);
    EXPECT_TRUE(network->options().folded);
    for (const std::string& clip : kClips) {
      const torch::Tensor expected =
          pinned ? kFixture.expected("campplus_ort118", clip + ".utt_embedding_ort118")
                 : kFixture.expected("prep", clip + ".utt_embedding");
      expect_close(network->embed({wave16k(clip)}).front(), expected.flatten(), 1e-4, clip);
    }
  }
}

// Every export counts its anonymous tensors anew.
TEST(OnnxEncoders, NumbersOfTensorsMeanNothing) {
  const TemporaryFolder folder;
  for (const char* name : {"speech_tokenizer_v3.onnx", "campplus.onnx"}) {
    std::string bytes = read_bytes(kFixture.path("checkpoint/" + std::string(name)));
    int renamed = 0;
    for (const std::string prefix : {"onnx::MatMul_", "onnx::Conv_"}) {
      for (size_t at = bytes.find(prefix); at != std::string::npos; at = bytes.find(prefix, at)) {
        for (at += prefix.size(); std::isdigit(static_cast<unsigned char>(bytes[at])); ++at)
          bytes[at] = static_cast<char>('0' + (bytes[at] - '0' + 7) % 10);
        ++renamed;
      }
    }
    EXPECT_GT(renamed, 4) << name;
    const auto file = OnnxFile::open(folder.write(name, bytes)), same = open(name);
    const bool codes = std::string(name).starts_with("speech");
    const auto weights = codes ? s3_tokenizer_weights(file) : campplus_weights(file);
    const auto wanted = codes ? s3_tokenizer_weights(same) : campplus_weights(same);
    ASSERT_EQ(weights->tensors().size(), wanted->tensors().size()) << name;
    for (const TensorView& view : wanted->tensors())
      expect_equal(copy_tensor(weights->at(view.name)), copy_tensor(view), view.name);
  }
}

TEST(OnnxEncoders, AnotherNetworkIsRefusedByWhatItLacks) {
  try {
    s3_tokenizer_weights(open("campplus.onnx"));
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("speech_tokenizer_v3.onnx"));
  }
  EXPECT_THROW(campplus_weights(open("speech_tokenizer_v3.onnx")), DataError);
}

}  // namespace
}  // namespace ttsft
