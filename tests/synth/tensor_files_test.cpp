#include "src/synth/tensor_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/nn/weights.h"

namespace ttsft {
namespace {

using ::testing::HasSubstr;

struct TensorFiles : ::testing::Test {
  std::filesystem::path save(const std::string& name, const torch::Tensor& tensor) {
    save_tensors(file, {{name, tensor}});
    return file;
  }
  std::string codes_error() {
    return message_of<DataError>([&] { read_codes(file); });
  }
  std::string noise_error() {
    return message_of<DataError>([&] { read_noise(file); });
  }

  TemporaryFolder folder;
  std::filesystem::path file = folder / "t.safetensors";
};

TEST_F(TensorFiles, CodesComeBack) {
  const torch::Tensor codes = torch::arange(6).reshape({3, 2});
  write_codes(file, codes);
  EXPECT_TRUE(torch::equal(read_codes(file), codes));
  write_codes(file, torch::arange(4));
  EXPECT_EQ(read_codes(file).dim(), 1);
}

TEST_F(TensorFiles, CodesOfAnyIntegerType) {
  for (const auto dtype : {torch::kUInt8, torch::kInt8, torch::kInt16, torch::kInt32}) {
    const torch::Tensor codes = read_codes(save("codes", torch::ones({2, 2}, dtype)));
    EXPECT_EQ(codes.scalar_type(), torch::kInt64);
  }
}

TEST_F(TensorFiles, CodesThatAreNone) {
  save("code", torch::ones({2}, torch::kInt64));
  EXPECT_THAT(codes_error(), HasSubstr("no tensor named codes"));
  EXPECT_THAT(codes_error(), HasSubstr("it holds: code"));
  save("codes", torch::full({2}, std::numeric_limits<float>::quiet_NaN()));
  EXPECT_THAT(codes_error(), HasSubstr("codes are F32"));
  save("codes", torch::ones({2}, torch::kBool));
  EXPECT_THAT(codes_error(), HasSubstr("codes are BOOL"));
  save("codes", torch::ones({1, 2, 2}, torch::kInt64));
  EXPECT_THAT(codes_error(), HasSubstr("codes are [1, 2, 2]"));
  save("codes", torch::ones({}, torch::kInt64));
  EXPECT_THAT(codes_error(), HasSubstr("codes are []"));
  save("codes", torch::ones({0, 2}, torch::kInt64));
  EXPECT_THAT(codes_error(), HasSubstr("empty, [0, 2]"));
  folder.write("t.safetensors", "not a tensor file");
  EXPECT_THROW(read_codes(file), DataError);
}

TEST_F(TensorFiles, Noise) {
  save_tensors(file, {{"z", torch::ones({2, 3})}, {"phase", torch::zeros({1})}});
  const auto noise = read_noise(file);
  EXPECT_EQ(noise.size(), 2U);
  EXPECT_TRUE(torch::equal(noise.at("z"), torch::ones({2, 3})));
}

TEST_F(TensorFiles, NoiseThatIsNone) {
  save("z", torch::ones({2}, torch::kFloat64));
  EXPECT_THAT(noise_error(), HasSubstr("tensor z is F64"));
  save("z", torch::full({2}, std::numeric_limits<float>::infinity()));
  EXPECT_THAT(noise_error(), HasSubstr("not finite"));
  save_tensors(file, {});
  EXPECT_THAT(noise_error(), HasSubstr("no tensor"));
}

}  // namespace
}  // namespace ttsft
