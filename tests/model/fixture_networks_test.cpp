#include "ttsft/model/fixture_networks.h"

#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/model/fixture.h"

namespace ttsft {
namespace {

TEST(FixtureNetworks, CampplusIsWhatItsReaderReads) {
  CampplusOptions options;
  options.head_channels = 4;
  options.width = 12;
  options.layers = {2, 3, 2};
  options.growth = 6;
  options.bottleneck = 12;
  options.mask_hidden = 6;
  FixtureList list(DType::kF32);
  list_campplus(list, "net.", options);
  const TemporaryFolder folder;
  write_fixture({{"campplus.bin", list.tensors, ""}}, folder / "checkpoint", 1);
  const auto file = open_tensor_file(folder / "checkpoint/campplus.bin");
  const CampplusOptions read = read_campplus_options(*file, "net.");
  EXPECT_EQ(read.layers, options.layers);
  EXPECT_EQ(read.width, options.width);
  EXPECT_EQ(read.growth, options.growth);
  Campplus network = load_campplus(file, "net.", torch::kCPU);
  const torch::Tensor style = network->forward(torch::randn({1, 40, 80}));
  EXPECT_EQ(style.size(1), options.embedding);
  EXPECT_TRUE(torch::isfinite(style).all().item<bool>());
}

}  // namespace
}  // namespace ttsft
