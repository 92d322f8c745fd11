#include "ttsft/codec/campplus.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "tests/support/model_fixture.h"
#include "tests/support/random_weights.h"
#include "tests/support/relative_test.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/audio/sinc_resample.h"
#include "ttsft/core/error.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/nn/weights.h"

namespace ttsft {
namespace {

using test::expect_close;
using test::expect_near;
using test::random;

const test::ModelFixture kFixture("chatterbox");
constexpr const char* kPrefix = "speaker_encoder.";

std::shared_ptr<const TensorFile> chatterbox_file() {
  return kFixture.file("checkpoint/s3gen.safetensors");
}

Campplus load() {
  return load_campplus(chatterbox_file(), kPrefix, torch::kCPU);
}

torch::Tensor reference() {
  return kFixture.expected("prep", "ref.wav16k_sinc_hann");
}

// Random weights, statistics as batches leave them.
Campplus random_network(const CampplusOptions& options) {
  Campplus network(options);
  test::randomize(*network, 3, 0.3);
  for (auto& buffer : network->named_buffers()) {
    torch::Tensor value = buffer.value();
    if (buffer.key().ends_with("running_mean")) value.copy_(random(value.sizes(), 7, 0.2));
    if (buffer.key().ends_with("running_var")) value.copy_(random(value.sizes(), 8).abs() + 0.5);
  }
  network->fold();
  return network;
}

TEST(Campplus, StagesAreUpstreams) {
  Campplus network = load();
  std::map<std::string, torch::Tensor> seen;
  network->set_probe([&](std::string_view stage, const torch::Tensor& x) {
    seen[std::string(stage)] = x.clone();
  });
  // From upstream's energies: those of silent bands are rounding noise of the FFT.
  const torch::Tensor vector = network(
      kFixture.expected("prep", "ref.campplus_fbank_cmn").view({1, -1, network->options().bins}));
  ASSERT_TRUE(seen.count("head") && seen.count("head.layer1"));
  seen["head"] = seen["head"].slice(1, 0, std::nullopt, 16);
  seen["head.layer1"] = seen["head.layer1"].narrow(1, 0, 1);
  for (const char* stage : {"head.layer1", "head", "tdnn", "block1.tdnnd1", "transit1", "transit2",
                            "transit3", "stats"}) {
    ASSERT_TRUE(seen.count(stage)) << stage;
    expect_near(seen[stage], kFixture.expected("layers", std::string("campplus.") + stage), 1e-4,
                stage);
  }
  const torch::Tensor expected = kFixture.expected("prep", "ref.gen.embedding");
  expect_near(vector, expected, 1e-4, "embedding");
  expect_near(network->embed({reference()}).front(), expected[0], 1e-4, "of the wave");
}

// Another release's copy: a file of its own, other dimensions.
TEST(Campplus, PlainFileOfAnotherModel) {
  const test::ModelFixture fixture("indextts2");
  const auto file = open_tensor_file(fixture.path("checkpoint/hf_cache/campplus_cn_common.bin"));
  Campplus network = load_campplus(file, "", torch::kCPU);
  const Audio prompt = fixture.audio("ref");
  const torch::Tensor wave = torch::tensor(
      resample_sinc(prompt.samples, prompt.sample_rate, 16000, KernelPrecision::kDouble));
  expect_near(network->embed({wave}).front(), fixture.expected("synth", "greedy.style"), 1e-4);
}

TEST(Campplus, RowsOfABatchAreIndependent) {
  Campplus network = load();
  const torch::Tensor wave = reference();
  const std::vector<torch::Tensor> clips = {wave.narrow(0, 0, 9000), wave.narrow(0, 4000, 12000),
                                            wave.narrow(0, 2000, 9000), wave};
  const std::vector<torch::Tensor> together = network->embed(clips);
  ASSERT_EQ(together.size(), clips.size());
  for (size_t i = 0; i < clips.size(); ++i) {
    expect_close(together[i], network->embed({clips[i]}).front(), 1e-5, std::to_string(i));
  }
  EXPECT_TRUE(network->embed({}).empty());
}

// A dense layer as upstream writes it, over several segments and with a last one that is short.
TEST(Campplus, FormulaOfADenseLayer) {
  c10::InferenceMode guard;
  CampplusOptions options;
  options.growth = 3;
  options.bottleneck = 6;
  options.mask_hidden = 4;
  CampplusDenseLayer layer(options, 5, 2);
  test::randomize(*layer, 11);
  const auto p = layer->named_parameters();
  const auto b = layer->named_buffers();
  for (const char* norm : {"nonlinear1.batchnorm.", "nonlinear2.batchnorm."}) {
    torch::Tensor mean = b[std::string(norm) + "running_mean"];
    torch::Tensor variance = b[std::string(norm) + "running_var"];
    mean.copy_(random(mean.sizes(), 12));
    variance.copy_(random(variance.sizes(), 13).square() + 0.1);
  }
  layer->fold();
  const auto norm_relu = [&](const torch::Tensor& x, const std::string& name) {
    return torch::batch_norm(x, p[name + ".weight"], p[name + ".bias"], b[name + ".running_mean"],
                             b[name + ".running_var"], /*training=*/false, 0.1, 1e-5, false)
        .relu();
  };
  const torch::Tensor x = random({2, 5, 250}, 14);
  const torch::Tensor h =
      norm_relu(torch::conv1d(norm_relu(x, "nonlinear1.batchnorm"), p["linear1.weight"]),
                "nonlinear2.batchnorm");
  const int64_t stride = 1, padding = 2, dilation = 2;
  const torch::Tensor y =
      torch::conv1d(h, p["cam_layer.linear_local.weight"], {}, stride, padding, dilation);
  torch::Tensor context = torch::zeros_like(h);
  for (const auto& [begin, length] : {std::pair<int64_t, int64_t>{0, 100}, {100, 100}, {200, 50}}) {
    context.narrow(-1, begin, length)
        .copy_((h.narrow(-1, begin, length).mean(-1, true) + h.mean(-1, true))
                   .expand({-1, -1, length}));
  }
  const torch::Tensor mask = torch::sigmoid(torch::conv1d(
      torch::conv1d(context, p["cam_layer.linear1.weight"], p["cam_layer.linear1.bias"]).relu(),
      p["cam_layer.linear2.weight"], p["cam_layer.linear2.bias"]));
  expect_close(layer(x), y * mask, 1e-4);
}

// The golden's network as an export to ONNX leaves it: each norm that directly follows a
// convolution is gone into it, the others stay, and nothing counts batches.
std::vector<std::pair<std::string, torch::Tensor>> folded_tensors() {
  const auto file = chatterbox_file();
  std::map<std::string, torch::Tensor> tensors;
  for (const TensorView& view : file->tensors()) {
    if (view.name.starts_with(kPrefix) && !view.name.ends_with(".num_batches_tracked"))
      tensors[view.name.substr(std::strlen(kPrefix))] = copy_tensor(view);
  }
  const auto take = [&](const std::string& name) {
    return tensors.extract(name).mapped().to(torch::kFloat64);
  };
  const auto fold = [&](const std::string& conv, const std::string& norm) {
    const torch::Tensor factor =
        take(norm + ".weight") / (take(norm + ".running_var") + 1e-5).sqrt();
    const torch::Tensor shift = take(norm + ".bias") - take(norm + ".running_mean") * factor;
    const torch::Tensor weight = take(conv + ".weight");
    std::vector<int64_t> rows(static_cast<size_t>(weight.dim()), 1);
    rows[0] = -1;
    tensors[conv + ".weight"] = (weight * factor.view(rows)).to(torch::kFloat32);
    tensors[conv + ".bias"] = shift.to(torch::kFloat32);
  };
  std::vector<std::pair<std::string, std::string>> pairs = {
      {"head.conv1", "head.bn1"},
      {"head.conv2", "head.bn2"},
      {"xvector.tdnn.linear", "xvector.tdnn.nonlinear.batchnorm"},
      {"xvector.transit3.linear", "xvector.out_nonlinear.batchnorm"}};
  for (const auto& item : tensors) {
    const std::string& name = item.first;
    const auto under = [&](const std::string& end) {
      return name.ends_with(end) ? name.substr(0, name.size() - end.size()) : std::string();
    };
    if (const std::string block = under("conv1.weight"); block.starts_with("head.layer")) {
      pairs.emplace_back(block + "conv1", block + "bn1");
      pairs.emplace_back(block + "conv2", block + "bn2");
    }
    if (const std::string block = under("shortcut.0.weight"); !block.empty())
      pairs.emplace_back(block + "shortcut.0", block + "shortcut.1");
    if (const std::string layer = under("nonlinear2.batchnorm.weight"); !layer.empty())
      pairs.emplace_back(layer + "linear1", layer + "nonlinear2.batchnorm");
  }
  for (const auto& [conv, norm] : pairs) fold(conv, norm);
  return {tensors.begin(), tensors.end()};
}

TEST(Campplus, FoldedWeightsGiveTheSameVector) {
  const TemporaryFolder folder;
  auto tensors = folded_tensors();
  const auto open = [&] {
    save_tensors(folder / "c.safetensors", tensors);
    return std::make_shared<SafetensorsReader>(SafetensorsReader::open(folder / "c.safetensors"));
  };
  Campplus network = load_campplus(open(), "", torch::kCPU), plain = load();
  EXPECT_TRUE(network->options().folded);
  EXPECT_FALSE(plain->options().folded);
  EXPECT_LT(tensors.size(), plain->named_parameters().size() + plain->named_buffers().size());
  const torch::Tensor vector = network->embed({reference()}).front();
  expect_near(vector, plain->embed({reference()}).front(), 1e-5, "folded here");
  expect_near(vector, kFixture.expected("prep", "ref.gen.embedding")[0], 1e-4, "upstream's");

  // A folded file is read as strictly.
  std::erase_if(
      tensors, [](const auto& item) { return item.first == "xvector.block2.tdnnd1.linear1.bias"; });
  EXPECT_THROW(load_campplus(open(), "", torch::kCPU), DataError);
}

TEST(Campplus, TooShort) {
  Campplus network = load();
  EXPECT_NO_THROW(network->embed({reference().narrow(0, 0, 400 + 2 * 160)}));
  EXPECT_THROW(network->embed({reference().narrow(0, 0, 400 + 160)}), DataError);
  EXPECT_THROW(network->embed({torch::zeros({100})}), DataError);
}

TEST(Campplus, WrongUse) {
  Campplus network = load();
  EXPECT_THROW(network(torch::zeros({1, 50, network->options().bins + 1})), std::logic_error);
  Campplus unfolded(network->options());
  EXPECT_THROW(unfolded(torch::zeros({1, 50, 80})), std::logic_error);
  EXPECT_THROW(load_campplus(chatterbox_file(), "flow.", torch::kCPU), DataError);
}

// A file with one tensor left out, or of another shape.
TEST(Campplus, LoadingIsStrict) {
  const auto changed = [](const std::string& name, const Shape& shape) {
    auto file = std::make_shared<DerivedTensors>(chatterbox_file());
    for (const TensorView& view : chatterbox_file()->tensors()) {
      if (view.name != kPrefix + name) file->keep(view);
    }
    if (!shape.empty()) {
      file->add(kPrefix + name, DType::kF32, shape,
                std::vector<std::byte>(static_cast<size_t>(shape_size(shape) * 4)));
    }
    file->finish();
    return file;
  };
  const auto refused = [&](const std::string& name, const Shape& shape) {
    EXPECT_THROW(load_campplus(changed(name, shape), kPrefix, torch::kCPU), DataError) << name;
  };
  refused("head.bn1.running_mean", {});
  refused("xvector.dense.nonlinear.batchnorm.num_batches_tracked", {});
  refused("xvector.block2.tdnnd3.linear1.weight", {});
  refused("xvector.transit2.linear.weight", {3, 3, 1});
  refused("xvector.tdnn.linear.weight", {16, 321, 5});
  refused("xvector.tdnn.linear.weight", {16, 320});
  refused("head.extra", {1});
  EXPECT_NO_THROW(load_campplus(changed("nothing", {}), kPrefix, torch::kCPU));
}

TEST(Campplus, ReleaseShapes) {
  const CampplusOptions options;
  const Campplus network = random_network(options);
  const auto parameters = network->named_parameters();
  const auto shape = [&](const std::string& name) { return parameters[name].sizes().vec(); };
  EXPECT_EQ(parameters.size() + network->named_buffers().size(), 937u);
  EXPECT_EQ(shape("head.layer2.0.shortcut.0.weight"), (Shape{32, 32, 1, 1}));
  EXPECT_EQ(shape("xvector.tdnn.linear.weight"), (Shape{128, 320, 5}));
  EXPECT_EQ(shape("xvector.block2.tdnnd24.linear1.weight"), (Shape{128, 992, 1}));
  EXPECT_EQ(shape("xvector.block3.tdnnd16.cam_layer.linear_local.weight"), (Shape{32, 128, 3}));
  EXPECT_EQ(shape("xvector.transit1.linear.weight"), (Shape{256, 512, 1}));
  EXPECT_EQ(shape("xvector.transit3.linear.weight"), (Shape{512, 1024, 1}));
  EXPECT_EQ(shape("xvector.dense.linear.weight"), (Shape{192, 1024, 1}));
}

}  // namespace
}  // namespace ttsft
