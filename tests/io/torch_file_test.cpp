#include "ttsft/io/torch_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <sstream>

#include "src/io/zip.h"
#include "support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/safetensors.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using namespace std::string_literals;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const fs::path kFixtures = TTSFT_FIXTURES;
const fs::path kFolder = kFixtures / "torch_files";

template <typename T>
std::vector<T> values(const TensorView& tensor) {
  EXPECT_EQ(tensor.bytes.size() % sizeof(T), 0u);
  std::vector<T> found(tensor.bytes.size() / sizeof(T));
  if (!found.empty()) std::memcpy(found.data(), tensor.bytes.data(), tensor.bytes.size());
  return found;
}

std::string open_error(const fs::path& file) {
  return message_of<DataError>([&] { TorchFile::open(file); });
}

std::vector<std::string> names(const TensorFile& file) {
  std::vector<std::string> found;
  for (const TensorView& tensor : file.tensors()) found.push_back(tensor.name);
  return found;
}

class Nested : public ::testing::TestWithParam<const char*> {};

TEST_P(Nested, IsWhatWasSaved) {
  const auto file = TorchFile::open(kFolder / GetParam());
  const TorchValue& root = file->root();
  EXPECT_THAT(names(*file), ElementsAre("3.0.5", "model.linear.weight", "model.step", "parameter",
                                        "state.bias", "state.weight"));
  const TensorView* weight = root.find("model")->find("linear.weight")->tensor();
  ASSERT_NE(weight, nullptr);
  EXPECT_EQ(weight->name, "model.linear.weight");
  EXPECT_EQ(weight->shape, (Shape{2, 3}));
  EXPECT_THAT(values<float>(*weight), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_EQ(file->at("model.step").shape, Shape{});
  EXPECT_THAT(values<int64_t>(file->at("model.step")), ElementsAre(7));
  EXPECT_THAT(values<float>(file->at("parameter")), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_EQ(file->at("parameter").bytes.data(), file->at("state.weight").bytes.data());
  EXPECT_THAT(values<float>(file->at("state.bias")), ElementsAre(0.5f, -0.5f));
  EXPECT_THAT(values<uint8_t>(file->at("3.0.5")), ElementsAre(1, 2));

  EXPECT_EQ(root.find("state")->dict()->size(), 2u);  // its attributes are none of its entries
  EXPECT_EQ(root.find("ordered")->dict()->front().first, "z");
  EXPECT_TRUE(root.find("none")->is_none());
  EXPECT_EQ(std::get<std::string>(root.find("text")->data),
            "Gr\xC3\xBC\xC3\x9F"
            "e");
  const auto& flags = std::get<TorchValue::List>(root.find("flags")->data);
  EXPECT_EQ(std::get<bool>(flags.at(0).data), true);
  EXPECT_EQ(std::get<bool>(flags.at(1).data), false);
  const auto& numbers = std::get<TorchValue::Tuple>(root.find("numbers")->data).items;
  ASSERT_EQ(numbers.size(), 7u);
  const std::vector<int64_t> whole = {1, -2, 300, 70000, int64_t{1} << 40, -(int64_t{1} << 40)};
  for (size_t i = 0; i < whole.size(); ++i) EXPECT_EQ(std::get<int64_t>(numbers[i].data), whole[i]);
  EXPECT_EQ(std::get<double>(numbers[6].data), 0.25);
  EXPECT_EQ(std::get<TorchValue::Tuple>(root.find("size")->data).items.size(), 2u);
  const auto& empty = std::get<TorchValue::List>(root.find("empty")->data);
  EXPECT_TRUE(std::get<TorchValue::List>(empty.at(0).data).empty());
  EXPECT_TRUE(std::get<TorchValue::Tuple>(empty.at(1).data).items.empty());
  EXPECT_TRUE(empty.at(2).dict()->empty());
  EXPECT_EQ(root.find("absent"), nullptr);
  EXPECT_EQ(root.find("none")->find("x"), nullptr);
}

INSTANTIATE_TEST_SUITE_P(Forms, Nested,
                         ::testing::Values("nested.pt", "nested_stream.pth", "nested_protocol4.pt"),
                         [](const auto& form) { return fs::path(form.param).stem().string(); });

class Views : public ::testing::TestWithParam<const char*> {};

TEST_P(Views, LieInOneStorage) {
  const auto file = TorchFile::open(kFolder / GetParam());
  const auto i32 = [&](const char* name) { return values<int32_t>(file->at(name)); };
  std::vector<int32_t> base(24);
  std::iota(base.begin(), base.end(), 0);
  EXPECT_EQ(i32("base"), base);
  EXPECT_EQ(file->at("same").bytes.data(), file->at("base").bytes.data());  // no copy
  EXPECT_EQ(file->at("row").bytes.data(), file->at("base").bytes.data() + 48);
  EXPECT_THAT(i32("row"), ElementsAre(12, 13, 14, 15, 16, 17));
  EXPECT_EQ(file->at("rows").bytes.data(), file->at("base").bytes.data() + 24);
  EXPECT_EQ(file->at("transposed").shape, (Shape{6, 4}));
  std::vector<int32_t> transposed, permuted;
  for (int c = 0; c < 6; ++c) {
    for (int r = 0; r < 4; ++r) transposed.push_back(6 * r + c);
  }
  EXPECT_EQ(i32("transposed"), transposed);
  EXPECT_EQ(i32("permuted"), transposed);  // [2, 2, 6] with its last axis first is the same
  EXPECT_EQ(file->at("permuted").shape, (Shape{6, 2, 2}));
  EXPECT_THAT(i32("columns"), ElementsAre(1, 2, 7, 8, 13, 14, 19, 20));
  EXPECT_THAT(i32("every_other"), ElementsAre(0, 3, 12, 15));
  EXPECT_THAT(i32("expanded"), ElementsAre(0, 0, 0, 0, 0));
  EXPECT_THAT(i32("single"), ElementsAre(6));
  EXPECT_EQ(file->at("none_left").shape, (Shape{0, 3}));
}

INSTANTIATE_TEST_SUITE_P(Forms, Views, ::testing::Values("views.pt", "views_stream.pt"),
                         [](const auto& form) { return fs::path(form.param).stem().string(); });

TEST(TorchFile, EveryDataType) {
  const auto file = TorchFile::open(kFolder / "dtypes.bin");
  for (const char* name : {"BOOL", "U8", "I8", "I16", "I32", "I64", "F16", "BF16", "F32", "F64"}) {
    const TensorView& tensor = file->at(name);
    EXPECT_EQ(dtype_name(tensor.dtype), name);
    EXPECT_EQ(tensor.shape, Shape{4});
    EXPECT_EQ(tensor.bytes.size(), static_cast<size_t>(4 * dtype_size(tensor.dtype)));
  }
  EXPECT_THAT(values<uint8_t>(file->at("BOOL")), ElementsAre(0, 1, 1, 0));
  EXPECT_THAT(values<int16_t>(file->at("I16")), ElementsAre(0, 1, 1, 0));
  EXPECT_THAT(values<uint16_t>(file->at("F16")), ElementsAre(0, 0x3C00, 0x3C00, 0));
  EXPECT_THAT(values<uint16_t>(file->at("BF16")), ElementsAre(0, 0x3F80, 0x3F80, 0));
  EXPECT_THAT(values<double>(file->at("F64")), ElementsAre(0, 1, 1, 0));
  EXPECT_THAT(values<int64_t>(file->at("scalar")), ElementsAre(-5));
  EXPECT_EQ(file->at("scalar").shape, Shape{});
  EXPECT_EQ(file->at("empty").shape, (Shape{0, 3}));
}

TEST(TorchFile, ATensorAloneHasNoName) {
  const auto file = TorchFile::open(kFolder / "tensor.pt");
  ASSERT_NE(file->root().tensor(), nullptr);
  EXPECT_THAT(values<uint16_t>(*file->root().tensor()), ElementsAre(0x3FC0, 0xC000));
  EXPECT_THAT(names(*file), ElementsAre(""));
}

TEST(TorchFile, ReadsCheckpoints) {
  const auto conds = TorchFile::open(kFixtures / "chatterbox/checkpoint/conds.pt");
  EXPECT_NE(conds->find("t3.speaker_emb"), nullptr);
  for (const char* name :
       {"gpt.pth", "s2mel.pth", "feat1.pt", "feat2.pt", "wav2vec2bert_stats.pt",
        "hf_cache/campplus_cn_common.bin", "hf_cache/bigvgan/bigvgan_generator.pt"}) {
    const auto file = open_tensor_file(kFixtures / "indextts2/checkpoint" / name);
    EXPECT_FALSE(file->tensors().empty()) << name;
  }
}

TEST(TorchFile, OpensTensorFilesOfBothKinds) {
  const TemporaryFolder folder;
  const std::string data = "ab";
  write_safetensors(folder / "a.safetensors",
                    {{"x", DType::kU8, {2}, std::as_bytes(std::span(data))}});
  EXPECT_NE(open_tensor_file(folder / "a.safetensors")->find("x"), nullptr);
  EXPECT_NE(open_tensor_file(kFolder / "dtypes.bin")->find("scalar"), nullptr);
  EXPECT_THAT(message_of<DataError>([&] { open_tensor_file(folder.write("x.pt", "text")); }),
              AllOf(HasSubstr("not a file of torch.save"), HasSubstr("x.pt")));
  EXPECT_THAT(message_of<DataError>([&] { open_tensor_file(folder.write("empty.pt", "")); }),
              HasSubstr("empty.pt"));
  EXPECT_THAT(message_of<DataError>([&] { open_tensor_file(folder / "gone.pt"); }),
              HasSubstr("gone.pt"));
}

TEST(TorchFile, TheContentSaysWhichFormItIsNotTheEnding) {
  const TemporaryFolder folder;
  for (const char* form : {"views.pt", "views_stream.pt"}) {
    const auto expected = names(*TorchFile::open(kFolder / form));
    ASSERT_FALSE(expected.empty());
    for (const char* name : {"w.ckpt", "w.pth", "w.zip", "w"}) {
      fs::copy_file(kFolder / form, folder / name, fs::copy_options::overwrite_existing);
      EXPECT_EQ(names(*open_tensor_file(folder / name)), expected) << form << " as " << name;
    }
  }
}

TEST(TorchFile, RefusesWhatIsNotData) {
  for (const char* name : {"call.pt", "call_stream.pt", "call_protocol4.pt"}) {
    EXPECT_THAT(open_error(kFolder / name), AllOf(HasSubstr("posix.system"), HasSubstr(name),
                                                  HasSubstr("nothing is executed")));
  }
  EXPECT_THAT(open_error(kFolder / "complex.pt"), HasSubstr("torch.ComplexFloatStorage"));
  EXPECT_THAT(open_error(kFolder / "set.pt"), HasSubstr("__builtin__.set"));
  EXPECT_THAT(open_error(kFolder / "circle.pt"), HasSubstr("holds itself"));
  EXPECT_THAT(open_error(kFolder / "compressed.pt"), HasSubstr("data.pkl of the zip archive is "
                                                               "compressed"));
}

using Entries = std::vector<std::pair<std::string, std::string>>;

std::string archive(const Entries& entries) {
  std::ostringstream out;
  ZipWriter writer(out);
  for (const auto& [name, content] : entries) {
    writer.add("x/" + name, std::as_bytes(std::span(content)));
  }
  writer.finish();
  return out.str();
}

// torch._utils._rebuild_tensor_v2 over a float storage "0" of `size` values.
std::string tensor(const std::string& size, const std::string& offset, const std::string& shape,
                   const std::string& strides) {
  return "ctorch._utils\n_rebuild_tensor_v2\n((\x8c\x07storagectorch\nFloatStorage\n\x8c\x01"
         "0\x8c\x03"
         "cpu" +
         size + "tQ" + offset + shape + strides +
         "\x89"
         "ccollections\nOrderedDict\n)RtR.";
}

TEST(TorchFile, RefusesTensorsOutsideTheirStorage) {
  const TemporaryFolder folder;
  const std::string huge = "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"s, one = "K\x01\x85"s;
  const auto error = [&](const std::string& pickle) {
    return open_error(
        folder.write("bad.pt", archive({{"data.pkl", pickle}, {"data/0", std::string(16, '\0')}})));
  };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {tensor("K\x05", "K\x00"s, "K\x05\x85", one), "should have 5 values and has 4"},
      {tensor(huge, "K\x00"s, "K\x01\x85", one), "and has 4"},
      {tensor("K\x04", "K\x01", "K\x04\x85", one), "leaves its storage of 4"},
      {tensor("K\x04", "K\x04", ")", ")"), "leaves its storage"},
      {tensor("K\x04", huge, "K\x02\x85", one), "leaves its storage"},
      {tensor("K\x04", "K\x00"s, huge + "\x85", one), "leaves its storage"},
      {tensor("K\x04", "K\x00"s, "K\x02\x85", huge + "\x85"), "leaves its storage"},
      {tensor("K\x04", "K\x00"s, huge + huge + "\x86", "K\x01K\x01\x86"), "leaves its storage"},
      {tensor("K\x04", "K\x00"s, huge + "\x85", "K\x00\x85"s), "too large"},
      {tensor("K\x04", "K\x00"s, "\x8a\x05\xff\xff\xff\xff\x00\x85"s, "K\x00\x85"s),
       "larger than the file"},
      {tensor("K\x04", "K\x00"s, "J\xff\xff\xff\xff\x85", one), "is not as torch.save"},
      {tensor("K\x04", "K\x00"s, "K\x01\x85", "J\xff\xff\xff\xff\x85"), "is not as torch.save"},
      {tensor("K\x04", "K\x00"s, "K\x01\x85", ")"), "is not as torch.save"}};
  for (const auto& [pickle, reason] : cases) {
    EXPECT_THAT(error(pickle), AllOf(HasSubstr(reason), HasSubstr("bad.pt"))) << reason;
  }
  EXPECT_THAT(open_error(folder.write(
                  "bad.pt", archive({{"data.pkl", tensor("K\x04", "K\x00"s, ")", ")")}}))),
              HasSubstr("storage 0, which is missing"));
}

TEST(TorchFile, RefusesOtherArchives) {
  const TemporaryFolder folder;
  const auto error = [&](const Entries& entries) {
    return open_error(folder.write("bad.pt", archive(entries)));
  };
  EXPECT_THAT(error({{"model.txt", "x"}}), HasSubstr("without data.pkl"));
  EXPECT_THAT(error({{"data.pkl", "N."}, {"byteorder", "big"}}), HasSubstr("big-endian"));
  EXPECT_THAT(error({{"data.pkl", "N."}, {"constants.pkl", "N."}}), HasSubstr("TorchScript"));
  EXPECT_TRUE(
      TorchFile::open(folder.write("good.pt", archive({{"data.pkl", "N."}})))->root().is_none());
}

TEST(TorchFile, RefusesValuesThatCannotBeHeld) {
  const TemporaryFolder folder;
  const auto error = [&](const std::string& pickle) {
    return open_error(folder.write("bad.pt", archive({{"data.pkl", pickle}})));
  };
  EXPECT_THAT(error("}NNs."), HasSubstr("neither text nor a number"));
  EXPECT_THAT(error("}(K\x01NX\x01\x00\x00\x00"
                    "1Nu."s),
              HasSubstr("'1' twice"));
  EXPECT_THAT(error("\x8c\x01\xff."), HasSubstr("not UTF-8"));
  EXPECT_THAT(error("}\x8c\x01\xffNs."), HasSubstr("not UTF-8"));
  EXPECT_THAT(error("}\x8c\x01"
                    "a\x8a\x09"
                    "123456789s."),
              HasSubstr("'a' is a number of more"));
  EXPECT_THAT(error("ctorch\nSize\n."), HasSubstr("torch.Size itself"));
  EXPECT_THAT(error("(\x8c\x07storagectorch\nFloatStorage\n\x8c\x01"
                    "0\x8c\x03"
                    "cpuK\x01tQ."),
              HasSubstr("storage without a tensor"));
  EXPECT_THAT(error(std::string(150'000, ']') + std::string(149'999, 'a') + "."),
              HasSubstr("nested more than 100 deep"));
  // Each pair holds the one before twice: a few bytes that stand for 2^60 values.
  std::string doubling = "N";
  for (int i = 0; i < 60; ++i) doubling += "q\x01h\x01\x86";
  EXPECT_THAT(error(doubling + "."), HasSubstr("more than 2000000 values"));
}

// Whatever is damaged: an error that names the file, or values that are all there.
TEST(TorchFile, NoDamageDoesHarm) {
  const TemporaryFolder folder;
  const auto check = [&](const std::string& content) {
    const fs::path file = folder.write("damaged.pt", content);
    try {
      const auto opened = TorchFile::open(file);
      unsigned sum = 0;
      for (const TensorView& tensor : opened->tensors()) {
        for (const std::byte byte : tensor.bytes) sum += std::to_integer<unsigned>(byte);
        EXPECT_EQ(tensor.bytes.size(),
                  static_cast<size_t>(shape_size(tensor.shape) * dtype_size(tensor.dtype)));
      }
      EXPECT_GE(sum, 0u);
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(), HasSubstr("damaged.pt"));
    }
  };
  for (const char* name : {"nested.pt", "nested_stream.pth", "views.pt", "views_stream.pt"}) {
    const std::string good = read_text(kFolder / name);
    for (size_t size = 0; size < good.size(); size += 29) check(good.substr(0, size));
    for (size_t i = 0; i < good.size(); i += 11) {
      std::string bad = good;
      bad[i] = static_cast<char>(static_cast<unsigned char>(bad[i]) ^ (1u << (i / 11 % 8)));
      check(bad);
    }
  }
}

}  // namespace
}  // namespace ttsft
