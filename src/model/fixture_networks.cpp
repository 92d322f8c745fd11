#include "ttsft/model/fixture_networks.h"

namespace ttsft {
namespace {

void list_head(FixtureList& list, const std::string& p, const CampplusOptions& o) {
  const int64_t c = o.head_channels;
  const auto conv = [&](const std::string& name, int64_t in, int64_t kernel) {
    list.weight(p + name + ".weight", {c, in, kernel, kernel});
  };
  conv("conv1", 1, 3);
  list.batch_norm(p + "bn1", c);
  for (size_t layer = 0; layer < o.head_blocks.size(); ++layer) {
    for (int64_t block = 0; block < o.head_blocks[layer]; ++block) {
      const std::string name =
          "layer" + std::to_string(layer + 1) + "." + std::to_string(block) + ".";
      conv(name + "conv1", c, 3);
      list.batch_norm(p + name + "bn1", c);
      conv(name + "conv2", c, 3);
      list.batch_norm(p + name + "bn2", c);
      if (block > 0) continue;  // only the first halves the frequencies
      conv(name + "shortcut.0", c, 1);
      list.batch_norm(p + name + "shortcut.1", c);
    }
  }
  conv("conv2", c, 3);
  list.batch_norm(p + "bn2", c);
}

}  // namespace

void list_campplus(FixtureList& list, const std::string& prefix, const CampplusOptions& o) {
  list_head(list, prefix + "head.", o);
  const std::string x = prefix + "xvector.";
  int64_t channels = o.width;
  list.weight(x + "tdnn.linear.weight", {channels, o.head_channels * o.bins / 8, 5});
  list.batch_norm(x + "tdnn.nonlinear.batchnorm", channels);
  for (size_t block = 0; block < o.layers.size(); ++block) {
    const std::string number = std::to_string(block + 1);
    for (int64_t layer = 1; layer <= o.layers[block]; ++layer) {
      const std::string p = x + "block" + number + ".tdnnd" + std::to_string(layer) + ".";
      list.batch_norm(p + "nonlinear1.batchnorm", channels);
      list.weight(p + "linear1.weight", {o.bottleneck, channels, 1});
      list.batch_norm(p + "nonlinear2.batchnorm", o.bottleneck);
      list.weight(p + "cam_layer.linear_local.weight", {o.growth, o.bottleneck, 3});
      list.conv(p + "cam_layer.linear1", {o.mask_hidden, o.bottleneck, 1});
      list.conv(p + "cam_layer.linear2", {o.growth, o.mask_hidden, 1});
      channels += o.growth;
    }
    const std::string p = x + "transit" + number + ".";
    list.batch_norm(p + "nonlinear.batchnorm", channels);
    list.weight(p + "linear.weight", {channels / 2, channels, 1});
    channels /= 2;
  }
  list.batch_norm(x + "out_nonlinear.batchnorm", channels);
  list.weight(x + "dense.linear.weight", {o.embedding, 2 * channels, 1});
  list.batch_norm(x + "dense.nonlinear.batchnorm", o.embedding, /*affine=*/false);
}

}  // namespace ttsft
