#include "models/indextts2/w2v_bert.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "models/indextts2/config.h"
#include "tests/support/model_fixture.h"
#include "tests/support/relative_test.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/audio/sinc_resample.h"
#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft::indextts2 {
namespace {

using ttsft::test::expect_close;
using ttsft::test::expect_near;

const ttsft::test::ModelFixture kFixture("indextts2");

const Config& config() {
  static const Config config = read_config(kFixture.path("checkpoint"));
  return config;
}

SpeechEncoder& encoder() {
  static SpeechEncoder encoder(locate(config(), Auxiliary::kW2vBert), config().w2v_stats,
                               torch::kCPU);
  return encoder;
}

// As training's preparation reads recordings, through 24 kHz.
torch::Tensor wave(const std::string& clip) {
  const Audio audio = kFixture.audio(clip);
  const auto rate = static_cast<int>(config().sample_rate);
  const std::vector<float> detour =
      resample_sinc(audio.samples, audio.sample_rate, rate, KernelPrecision::kFloat);
  return torch::tensor(resample_sinc(detour, rate, 16000, KernelPrecision::kFloat));
}

torch::Tensor golden(const std::string& name) {
  return kFixture.expected("prep", name);
}

RowLengths valid_frames(const std::string& clip) {
  return {golden(clip + ".valid_frames").item<int64_t>()};
}

TEST(SpeechEncoder, InputIsUpstreams) {
  const SpeechFeatures input = encoder().input(wave("b"));
  EXPECT_EQ(input.valid, valid_frames("b")[0]);
  const torch::Tensor expected = golden("b.input_features");
  expect_close(input.frames, expected, 1e-3);
}

TEST(SpeechEncoder, StagesAreUpstreams) {
  std::map<std::string, torch::Tensor> seen;
  encoder().network()->set_probe([&](std::string_view stage, const torch::Tensor& x) {
    seen[std::string(stage)] = x[0].clone();
  });
  encoder().network()(golden("b.input_features").unsqueeze(0), valid_frames("b"));
  encoder().network()->set_probe({});
  int64_t compared = 0;
  const std::string prefix = "prep.w2v.";
  for (const TensorView& view : kFixture.file("expected/layers.safetensors")->tensors()) {
    if (!view.name.starts_with(prefix)) continue;
    const std::string stage = view.name.substr(prefix.size());
    ASSERT_TRUE(seen.count(stage)) << stage;
    expect_near(seen[stage], kFixture.expected("layers", view.name), 1e-4, stage);
    ++compared;
  }
  EXPECT_GE(compared, 3);
}

TEST(SpeechEncoder, FeaturesAreUpstreams) {
  const std::vector<std::string> clips = {"a", "b", "c", "ref"};
  std::vector<torch::Tensor> waves;
  for (const std::string& clip : clips) waves.push_back(wave(clip));
  const std::vector<SpeechFeatures> all = encoder().encode(waves);
  for (size_t i = 0; i < clips.size(); ++i) {
    const torch::Tensor expected = golden(clips[i] + ".w2v_feat");
    EXPECT_EQ(all[i].valid, valid_frames(clips[i])[0]) << clips[i];
    expect_close(all[i].frames, expected, 2e-3, clips[i]);
  }
}

TEST(SpeechEncoder, FeaturesFromUpstreamsInput) {
  const torch::Tensor hidden =
      encoder().network()(golden("b.input_features").unsqueeze(0), valid_frames("b"))[0];
  const SpeechFeatures ours = encoder().encode({wave("b")}).front();
  ASSERT_EQ(hidden.sizes(), ours.frames.sizes());
  // The normalisation is affine: the same one takes every hidden state to its feature.
  const torch::Tensor expected = golden("b.w2v_feat");
  const torch::Tensor a = hidden - hidden.mean(0), b = expected - expected.mean(0);
  const torch::Tensor scale = (a * b).sum(0) / a.square().sum(0);
  expect_close(a * scale, b, 1e-4);
}

// Synthesis reads its prompt at 22050 Hz, and resamples with a kernel in double.
TEST(SpeechEncoder, FeaturesOfASynthesisPromptAreUpstreams) {
  const Audio prompt = kFixture.audio("ref");
  const torch::Tensor samples = torch::tensor(
      resample_sinc(prompt.samples, prompt.sample_rate, 16000, KernelPrecision::kDouble));
  expect_close(encoder().encode({samples}).front().frames,
               kFixture.expected("synth", "prompt.spk_cond_emb"), 2e-3);
}

// Lengths with an even and an odd number of frames, whatever they are padded with.
TEST(SpeechEncoder, RowsOfABatchComeOutAsAlone) {
  const torch::Tensor speech = torch::cat({wave("a"), wave("b"), wave("c")});
  std::vector<torch::Tensor> waves;
  for (const int64_t length : {560, 720, 880, 8000, 8160, 16000, 30000}) {
    waves.push_back(speech.narrow(0, 100, length));
  }
  const std::vector<SpeechFeatures> together = encoder().encode(waves);
  for (size_t i = 0; i < waves.size(); ++i) {
    const std::string what = std::to_string(waves[i].size(0)) + " samples";
    const int64_t frames = 1 + (waves[i].size(0) - 400) / 160;
    EXPECT_EQ(together[i].frames.size(0), (frames + 1) / 2) << what;
    EXPECT_EQ(together[i].valid, frames / 2) << what;
    expect_close(together[i].frames, encoder().encode({waves[i]}).front().frames, 1e-4, what);
  }
}

// Attention as upstream writes it: an embedding per pair of positions.
TEST(W2vBert, DistancesOfTheAttention) {
  c10::InferenceMode guard;
  W2vBertConfig small;
  small.hidden = 8;
  small.heads = 2;
  small.left = 3;
  small.right = 1;
  W2vAttention attention(small);
  torch::manual_seed(5);
  for (auto& parameter : attention->parameters()) parameter.copy_(torch::randn_like(parameter));
  const torch::Tensor x = torch::randn({1, 7, 8});
  const torch::Tensor place = torch::arange(7);
  W2vPositions positions;
  positions.distances = (place.unsqueeze(0) - place.unsqueeze(1)).clamp(-3, 1) + 3;
  positions.hidden = torch::zeros({1, 1, 1, 7}, torch::kBool);
  positions.hidden[0][0][0][6] = true;
  const auto p = attention->named_parameters();
  const auto linear = [&](const std::string& name) {
    return torch::linear(x, p[name + ".weight"], p[name + ".bias"])[0].view({7, 2, 4});
  };
  const torch::Tensor q = linear("linear_q"), k = linear("linear_k"), v = linear("linear_v");
  torch::Tensor y = torch::zeros({7, 2, 4});
  for (int64_t head = 0; head < 2; ++head) {
    for (int64_t i = 0; i < 7; ++i) {
      std::vector<float> scores;
      for (int64_t j = 0; j < 6; ++j) {  // the last key is hidden
        const int64_t row = std::clamp<int64_t>(j - i, -3, 1) + 3;
        const torch::Tensor key = k[j][head] + p["distance_embedding.weight"][row];
        scores.push_back(q[i][head].dot(key).item<float>() / 2);
      }
      const torch::Tensor weights = torch::tensor(scores).softmax(0);
      for (int64_t j = 0; j < 6; ++j) y[i][head] += weights[j] * v[j][head];
    }
  }
  const torch::Tensor expected =
      torch::linear(y.view({1, 7, 8}), p["linear_out.weight"], p["linear_out.bias"]);
  expect_close(attention(x, positions), expected, 1e-4);
}

TEST(W2vBert, WrongUse) {
  EXPECT_THROW(encoder().encode({torch::zeros({559})}), DataError);
  EXPECT_THROW(encoder().input(torch::zeros({1, 8000})), std::logic_error);
  EXPECT_TRUE(encoder().encode({}).empty());
  EXPECT_THROW(encoder().network()(torch::zeros({1, 5, 7}), RowLengths{5}), std::logic_error);
  EXPECT_THROW(SpeechEncoder(config().folder, config().w2v_stats, torch::kCPU), DataError);
  EXPECT_THROW(
      SpeechEncoder(locate(config(), Auxiliary::kW2vBert), config().speaker_matrix, torch::kCPU),
      DataError);
}

TEST(W2vBert, ConfigurationsThatAreNotKnown) {
  const TemporaryFolder folder;
  const std::string good = read_text(locate(config(), Auxiliary::kW2vBert) / "config.json");
  const auto refused = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    ASSERT_NE(text.find(from), std::string::npos) << from;
    text.replace(text.find(from), from.size(), to);
    folder.write("config.json", text);
    EXPECT_THROW(read_w2v_bert_config(folder.path()), DataError) << from;
  };
  folder.write("config.json", good);
  EXPECT_NO_THROW(read_w2v_bert_config(folder.path()));
  refused("\"relative_key\"", "\"rotary\"");
  refused("\"swish\"", "\"gelu\"");
  refused("\"num_attention_heads\": ", "\"num_attention_heads\": 1000");
  refused("\"num_hidden_layers\": 18", "\"num_hidden_layers\": 16");
  refused("\"feature_projection_input_dim\": 160", "\"feature_projection_input_dim\": 161");
  refused("\"hidden_size\"", "\"size\"");
  folder.write("config.json", good);
  folder.write("preprocessor_config.json", "{\"sampling_rate\": 8000}");
  EXPECT_THROW(read_w2v_bert_config(folder.path()), DataError);
}

// A checkpoint that carries a task's head names the network within it.
TEST(W2vBert, NamesOfACheckpointWithAHead) {
  const TemporaryFolder folder;
  const std::filesystem::path source = locate(config(), Auxiliary::kW2vBert);
  std::filesystem::copy_file(source / "config.json", folder / "config.json");
  const SafetensorsReader file = SafetensorsReader::open(source / "model.safetensors");
  std::vector<TensorView> views = file.tensors();
  for (TensorView& view : views) view.name = "wav2vec2_bert." + view.name;
  views.push_back({"lm_head.bias", DType::kF32, {1}, views.front().bytes.first(4)});
  write_safetensors(folder / "model.safetensors", views);
  SpeechEncoder other(folder.path(), config().w2v_stats, torch::kCPU);
  const torch::Tensor samples = wave("b");
  expect_close(other.encode({samples}).front().frames, encoder().encode({samples}).front().frames,
               0);
}

TEST(W2vBert, ReleaseShapes) {
  const W2vBert network{W2vBertConfig()};
  const auto parameters = network->named_parameters();
  const auto shape = [&](const std::string& name) { return parameters[name].sizes().vec(); };
  EXPECT_EQ(parameters.size(), 4u + 17 * 32);
  EXPECT_EQ(shape("feature_projection.projection.weight"), (Shape{1024, 160}));
  EXPECT_EQ(shape("encoder.layers.16.self_attn.distance_embedding.weight"), (Shape{73, 64}));
  EXPECT_EQ(shape("encoder.layers.3.conv_module.pointwise_conv1.weight"), (Shape{2048, 1024, 1}));
  EXPECT_EQ(shape("encoder.layers.3.conv_module.depthwise_conv.weight"), (Shape{1024, 1, 31}));
  EXPECT_EQ(shape("encoder.layers.0.ffn2.intermediate_dense.weight"), (Shape{4096, 1024}));
}

}  // namespace
}  // namespace ttsft::indextts2
