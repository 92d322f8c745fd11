#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/program_support.h"
#include "ttsft/io/safetensors.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ContainsRegex;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::ResultOf;

json inspect(const fs::path& path) {
  const ProgramResult result = run_program({"inspect", path.string(), "--json"});
  EXPECT_EQ(result.code, 0) << result.err;
  return json::parse(result.out);
}

TEST(Inspect, ACheckpoint) {
  const json found = inspect(qwen3_fixtures() / "checkpoint/");
  EXPECT_EQ(found.at("kind"), "checkpoint");
  EXPECT_EQ(found.at("model"), "qwen3-tts");
  EXPECT_EQ(found.at("weights").size(), 2u);
  EXPECT_EQ(found.at("weights").at(1).at("file"), "speech_tokenizer/model.safetensors");
  EXPECT_GT(found.at("weights").at(0).at("values").get<int64_t>(), 0);
  const ProgramResult words = run_program({"inspect", qwen3_fixtures() / "checkpoint"});
  EXPECT_THAT(words.out, AllOf(HasSubstr("Qwen3-TTS"), HasSubstr("tensors")));
}

TEST(Inspect, AnAdapter) {
  const TemporaryFolder folder;
  fs::copy(qwen3_fixtures() / "expected/adapter_config.json", folder / "adapter_config.json");
  const ProgramResult broken = run_program({"inspect", folder.path().string()});
  EXPECT_EQ(broken.code, 3);
  EXPECT_THAT(error_line(broken), HasSubstr("adapter_model.safetensors"));
  fs::copy(qwen3_fixtures() / "expected/adapter_init.safetensors",
           folder / "adapter_model.safetensors");
  const json found = inspect(folder.path());
  EXPECT_EQ(found.at("kind"), "adapter");
  EXPECT_GT(found.at("rank").get<int>(), 0);
  EXPECT_GT(found.at("modules").get<int>(), 0);
  EXPECT_EQ(found.at("incomplete_modules"), 0);
  EXPECT_THAT(run_program({"inspect", folder.path().string()}).out, HasSubstr("rank"));
}

TEST(Inspect, APreparedSetAndARun) {
  const TemporaryFolder folder;
  const std::string run = write_run_file(folder, "expected/prep_out.jsonl");
  const ProgramResult prep = run_program({"prep", run, "--quiet"}, qwen3_fixtures());
  ASSERT_EQ(prep.code, 0) << prep.err;
  const json found = inspect(folder / "prepared");
  EXPECT_EQ(found.at("kind"), "prepared set");
  EXPECT_EQ(found.at("model"), "qwen3-tts");
  EXPECT_EQ(found.at("train"), 3);
  EXPECT_EQ(found.at("unfinished_prep"), false);
  EXPECT_THAT(run_program({"inspect", folder / "prepared"}).out, HasSubstr("3 clips to train"));
  folder.write("run/checkpoints/readme.txt", "");
  EXPECT_EQ(inspect(folder / "run").at("kind"), "run");
}

TEST(Inspect, ATensorFile) {
  const json found = inspect(qwen3_fixtures() / "expected/adapter_init.safetensors");
  EXPECT_EQ(found.at("kind"), "tensors");
  EXPECT_EQ(found.at("tensors").size(), found.at("weights").at(0).at("tensors"));
}

TEST(Inspect, ATensorFileInNumbersAndWords) {
  const TemporaryFolder folder;
  const std::vector<float> ones(6, 1.f);
  const std::vector<int64_t> counts = {1, 2};
  write_safetensors(folder / "w.safetensors",
                    {{"b", DType::kF32, {2, 3}, std::as_bytes(std::span(ones))},
                     {"a", DType::kI64, {2}, std::as_bytes(std::span(counts))}});
  const json weights = {{"file", "w.safetensors"},
                        {"tensors", 2},
                        {"values", 8},
                        {"bytes", 40},
                        {"dtypes", {{"F32", 1}, {"I64", 1}}}};
  const json tensors = {{{"name", "a"}, {"dtype", "I64"}, {"shape", {2}}},
                        {{"name", "b"}, {"dtype", "F32"}, {"shape", {2, 3}}}};
  const json found = inspect(folder / "w.safetensors");
  EXPECT_EQ(found.at("weights"), json::array({weights}));
  EXPECT_EQ(found.at("tensors"), tensors);
  const ProgramResult words = run_program({"inspect", "w.safetensors"}, folder.path());
  EXPECT_EQ(words.code, 0) << words.err;
  EXPECT_EQ(words.out,
            "w.safetensors: tensors\n"
            "  w.safetensors: 2 tensors, 8 values, 40 bytes, 1 F32, 1 I64\n"
            "  a I64 [2]\n"
            "  b F32 [2,3]\n");
}

TEST(Inspect, WhatItDoesNotKnow) {
  const TemporaryFolder folder;
  EXPECT_EQ(run_program({"inspect", folder / "nowhere"}).code, 2);
  const ProgramResult result = run_program({"inspect", folder.path().string()});
  EXPECT_EQ(result.code, 3);
  EXPECT_THAT(error_line(result), HasSubstr("ttsft models"));
  EXPECT_EQ(run_program({"inspect", folder.write("a.txt", "")}).code, 3);
}

TEST(Inspect, FilesOfTorchSave) {
  const fs::path fixtures = fs::path(TTSFT_FIXTURES);
  const json voice = inspect(fixtures / "chatterbox/checkpoint/conds.pt");
  EXPECT_EQ(voice.at("kind"), "tensors");
  bool found = false;
  for (const json& tensor : voice.at("tensors"))
    found = found || (tensor.at("name") == "t3.speaker_emb" && tensor.at("dtype") == "F32");
  EXPECT_TRUE(found);
  const json checkpoint = inspect(fixtures / "indextts2/checkpoint");
  EXPECT_EQ(checkpoint.at("model"), "indextts2");
  const auto& files = checkpoint.at("weights");
  EXPECT_TRUE(std::any_of(files.begin(), files.end(),
                          [](const json& file) { return file.at("file") == "gpt.pth"; }));
  const ProgramResult text = run_program({"inspect", (fixtures / "austen/metadata.csv").string()});
  EXPECT_EQ(text.code, 3);
  EXPECT_THAT(error_line(text), HasSubstr(".safetensors, .pt, .pth or .bin"));
}

TEST(Inspect, WhatLiesBetweenTheTensorsOfATorchFile) {
  const fs::path fixtures = fs::path(TTSFT_FIXTURES);
  const json values = inspect(fixtures / "torch_files/nested.pt").at("values");
  const auto value = [&](const std::string& name) {
    const auto found = std::find_if(values.begin(), values.end(),
                                    [&](const json& entry) { return entry.at("name") == name; });
    EXPECT_NE(found, values.end()) << name;
    return found != values.end() ? found->at("value") : json("missing");
  };
  EXPECT_EQ(value("text"),
            "Gr\xC3\xBC\xC3\x9F"
            "e");
  EXPECT_EQ(value("none"), nullptr);
  EXPECT_EQ(value("flags.0"), true);
  EXPECT_EQ(value("ordered.a"), 2);
  EXPECT_EQ(value("numbers.5"), -(int64_t{1} << 40));
  EXPECT_EQ(value("numbers.6"), 0.25);
  EXPECT_EQ(value("empty.3"), "");
  EXPECT_THAT(values, Not(Contains(ResultOf([](const json& v) { return v.at("name"); },
                                            "parameter"))));  // a tensor
  const ProgramResult words = run_program({"inspect", fixtures / "chatterbox/checkpoint/conds.pt"});
  EXPECT_THAT(words.out,
              AllOf(HasSubstr("  t3.speaker_emb F32 [1,"), HasSubstr("  t3.clap_emb = null\n")));
}

TEST(Inspect, WhatOnlyIsCalledWeightsIsLeftOutOfAFolder) {
  const TemporaryFolder folder;
  for (const auto& entry :
       fs::directory_iterator(fs::path(TTSFT_FIXTURES) / "chatterbox/checkpoint"))
    fs::copy_file(entry.path(), folder / entry.path().filename().string());
  const json before = inspect(folder.path());
  const auto torch = fs::path(TTSFT_FIXTURES) / "torch_files";
  fs::create_directories(folder / "sub/deep");
  fs::copy_file(torch / "views_stream.pt", folder / "sub/older.bin");
  fs::copy_file(torch / "views.pt", folder / "sub/deep/far.pt");  // two levels below: not looked at
  folder.write("notes.bin", "text");
  folder.write("empty.pth", "");
  fs::copy_file(torch / "call.pt", folder / "code.pt");  // would run code: nothing is executed
  const ProgramResult result = run_program({"inspect", folder.path().string(), "--json"});
  EXPECT_EQ(result.code, 0) << result.err;
  const json found = json::parse(result.out);
  std::vector<std::string> files;
  for (const json& file : found.at("weights")) files.push_back(file.at("file"));
  EXPECT_THAT(files, ElementsAre("conds.pt", "s3gen.safetensors", "sub/older.bin",
                                 "t3_cfg.safetensors", "ve.safetensors"));
  EXPECT_EQ(found.at("weights").at(0), before.at("weights").at(0));
  for (const char* name : {"notes.bin", "empty.pth", "code.pt"})
    EXPECT_THAT(result.err, ContainsRegex(std::string("left out: .*") + name));
  EXPECT_THAT(result.err, Not(HasSubstr("far.pt")));

  // Given by its name, such a file is an error; so is a broken .safetensors in a folder.
  const ProgramResult alone = run_program({"inspect", folder / "notes.bin"});
  EXPECT_EQ(alone.code, 3);
  EXPECT_THAT(error_line(alone), HasSubstr("not a file of torch.save"));
  folder.write("broken.safetensors", "text");
  const ProgramResult broken = run_program({"inspect", folder.path().string(), "--json"});
  EXPECT_EQ(broken.code, 3);
  EXPECT_THAT(broken.err, HasSubstr("broken.safetensors"));
}

}  // namespace
}  // namespace ttsft
