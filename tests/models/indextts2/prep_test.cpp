// From recordings to arrays and manifests, as upstream's scripts make them.
#include "models/indextts2/prep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/models/indextts2/gpt_fixture.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/data/prepared_set.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/npy.h"
#include "ttsft/model/registry.h"
#include "ttsft/prep/prep.h"

namespace ttsft::indextts2::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using Json = nlohmann::ordered_json;

std::vector<Json> read_lines(const fs::path& file) {
  std::vector<Json> rows;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) rows.push_back(Json::parse(line));
  return rows;
}

torch::Tensor array(const fs::path& file) {
  return copy_tensor(NpyFile::open(file)->array());
}

class Prep : public testing::Test {
 protected:
  Prep() : config_(default_run("indextts2")) {
    config_.checkpoint = fixture().path("checkpoint");
    config_.run = folder_ / "run";
    config_.device = "cpu";
    config_.data.source = fixture().path("expected/prep/source.jsonl");
    config_.data.prepared = folder_ / "prepared";
    config_.data.validation.share = 0;
  }
  Json prep() { return run_prep(config_, find_model("indextts2"), {}); }
  fs::path upstream(const std::string& file) const {
    return fixture().path("expected/prep/" + file);
  }
  // Rows of a JSONL file whose paths name upstream's arrays absolutely.
  fs::path with_upstreams_arrays(const std::string& file) {
    std::string text;
    for (Json row : read_lines(upstream(file))) {
      for (const std::string& key : path_keys(row_kind(row)))
        row[key] = upstream(row[key].get<std::string>()).string();
      text += row.dump() + "\n";
    }
    return folder_.write(file, text);
  }

  TemporaryFolder folder_;
  RunConfig config_;
};

TEST_F(Prep, ArraysAreUpstreams) {
  EXPECT_EQ(prep()["train"], 4);
  for (const std::string id : {"a", "b", "c", "ref"}) {
    const ArrayFiles files = array_files(id);
    const auto own = [&](const fs::path& file) { return array(config_.data.prepared / file); };
    const auto want = [&](const fs::path& file) { return array(upstream(file.string())); };
    expect_equal(own(files.codes), want(files.codes), id);
    EXPECT_EQ(own(files.codes).scalar_type(), torch::kInt32);
    expect_equal(own(files.text_ids), want(files.text_ids), id);
    expect_close(own(files.condition), want(files.condition), 2e-3, id);
    expect_close(own(files.emotion), want(files.emotion), 2e-3, id);
  }
}

TEST_F(Prep, ManifestsAreUpstreams) {
  prep();
  const fs::path& prepared = config_.data.prepared;
  const auto own = read_lines(prepared / "train_manifest.jsonl");
  const auto want = read_lines(upstream("train_manifest.jsonl"));
  EXPECT_EQ(own, want);
  EXPECT_TRUE(read_lines(prepared / "val_manifest.jsonl").empty());
  EXPECT_EQ(read_text(prepared / "stats.json"), read_text(upstream("stats.json")));

  const auto pairs = read_lines(prepared / "gpt_pairs_train.jsonl");
  const auto upstreams = read_lines(upstream("gpt_pairs_tool_seed2025.jsonl"));
  ASSERT_EQ(pairs.size(), upstreams.size()) << "two prompts for each target";
  std::set<std::string> ids, keys, upstream_keys;
  for (const Json& pair : pairs) {
    EXPECT_NE(pair["target_id"], pair["prompt_id"]);
    EXPECT_EQ(pair["id"],
              pair["target_id"].get<std::string>() + "__" + pair["prompt_id"].get<std::string>());
    ids.insert(pair["id"]);
  }
  EXPECT_EQ(ids.size(), pairs.size());
  for (const auto& [key, value] : pairs[0].items()) keys.insert(key);
  for (const auto& [key, value] : upstreams[0].items()) upstream_keys.insert(key);
  EXPECT_EQ(keys, upstream_keys);
}

TEST_F(Prep, ValidationClipsStandInTheirOwnLists) {
  config_.data.validation.list = folder_.write("validation.txt", "b\n");
  EXPECT_EQ(prep()["validation"], 1);
  const fs::path& prepared = config_.data.prepared;
  const auto rows = read_lines(prepared / "val_manifest.jsonl");
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0]["id"], "b");
  EXPECT_EQ(read_lines(prepared / "train_manifest.jsonl").size(), 3u);
  for (const Json& pair : read_lines(prepared / "gpt_pairs_val.jsonl"))
    EXPECT_EQ(pair["target_id"], "b");
}

TEST_F(Prep, OwnOutputIsASourceToo) {
  prep();
  const fs::path first = config_.data.prepared;
  for (const auto& [source, count] : {std::pair{first, 4}, {first / "gpt_pairs_train.jsonl", 8}}) {
    config_.data.source = source;
    config_.data.prepared = folder_ / ("from " + source.filename().string());
    EXPECT_EQ(prep()["train"], count) << source;
    for (const PreparedRow& row : PreparedSet::open(config_.data.prepared, "indextts2").all()) {
      const ItemFiles files = item_files(row.row, row.id);
      EXPECT_TRUE(files.codes.is_absolute() && fs::exists(files.codes));
      EXPECT_TRUE(fs::exists(files.condition));
    }
    EXPECT_EQ(prep()["reused"], count);
  }
}

TEST_F(Prep, ReadsWhatUpstreamPrepared) {
  config_.data.source = upstream("");
  EXPECT_EQ(prep()["train"], 4);
  const SpeakerPrompts speakers = read_speakers(config_.data.prepared / "speakers.json");
  EXPECT_EQ(speakers.at("spk").size(), 4u);
  EXPECT_FALSE(fs::exists(config_.data.prepared / "codes"))
      << "upstream's arrays stay where they are";
}

TEST_F(Prep, ARowWhoseArrayIsGoneOrChangedIsMadeAnew) {
  prep();
  EXPECT_EQ(prep()["reused"], 4);
  fs::remove(config_.data.prepared / array_files("b").emotion);
  const Json again = prep();
  EXPECT_EQ(again["reused"], 3);
  EXPECT_EQ(again["encoded"], 1);

  config_.data.prepared = folder_ / "pairs";
  config_.data.source = with_upstreams_arrays("gpt_pairs.jsonl");
  prep();
  EXPECT_EQ(prep()["reused"], 4);
  fs::create_directories(folder_ / "codes");
  fs::copy_file(upstream("codes/b.npy"), folder_ / "codes/b.npy");
  std::string text = read_text(config_.data.source.paths[0]);
  const std::string name = upstream("codes/b.npy").string();
  text.replace(text.find(name), name.size(), folder_ / "codes/b.npy");
  config_.data.source = folder_.write("gpt_pairs.jsonl", text);
  EXPECT_EQ(prep()["reused"], 3);
  write_ids(folder_ / "codes/b.npy", torch::arange(10));
  EXPECT_EQ(prep()["reused"], 3) << "the file's content counts";
}

TEST_F(Prep, RowsThatTrainCouldNotUseAreRefused) {
  write_ids(folder_ / "bad.npy", torch::tensor({8192}));
  write_ids(folder_ / "none.npy", torch::empty({0}, torch::kInt64));
  write_floats(folder_ / "wide.npy", torch::zeros({3}));
  const auto refused = [&](const std::string& key, const std::string& file) {
    std::string text;
    for (Json row : read_lines(with_upstreams_arrays("gpt_pairs.jsonl"))) {
      if (row["target_id"] == "c") row[key] = (folder_ / file).string();
      text += row.dump() + "\n";
    }
    config_.data.source = folder_.write("set.jsonl", text);
    config_.data.prepared = folder_ / ("prepared " + key + file);
    EXPECT_EQ(prep()["rejected"], 1) << key << " " << file;
    return read_text(config_.data.prepared / "rejected.jsonl");
  };
  EXPECT_THAT(refused("target_codes_path", "bad.npy"), HasSubstr("is 8192"));
  EXPECT_THAT(refused("target_codes_path", "none.npy"), HasSubstr("no codes"));
  EXPECT_THAT(refused("target_text_ids_path", "gone.npy"), HasSubstr("gone.npy"));
  EXPECT_THAT(refused("prompt_condition_path", "wide.npy"), HasSubstr("the model takes"));
  EXPECT_THAT(refused("prompt_emo_vec_path", "wide.npy"), HasSubstr("the model takes"));
}

TEST_F(Prep, TextsTooLongOrUnknownAreRefused) {
  const std::string audio = fixture().path("audio/a.wav").string();
  std::string words;
  for (int i = 0; i < 120; ++i) words += "very ";
  const auto row = [&](const std::string& id, const std::string& text) {
    return Json{{"id", id}, {"audio", audio}, {"text", text}}.dump() + "\n";
  };
  config_.data.source = folder_.write(
      "set.jsonl", row("fine", "he was not an") + row("long", words) + row("odd", "ж ж ж ж ж"));
  EXPECT_EQ(prep()["rejected"], 2);
  const std::string rejected = read_text(config_.data.prepared / "rejected.jsonl");
  EXPECT_THAT(rejected, HasSubstr("tokens, 100 are possible"));
  EXPECT_THAT(rejected, HasSubstr("are <unk>"));
}

TEST(CleanText, TakesOffWhatUpstreamDoes) {
  EXPECT_EQ(clean_text("  Speaker 12:  hello\xC2\xA0there "), "hello there");
  EXPECT_EQ(clean_text("spk3：好\xE3\x80\x80的"), "好 的");
  EXPECT_EQ(clean_text("the speaker 1: no"), "the speaker 1: no");
}

TEST(ChoosePrompts, AreOthersOfTheSpeakerAndStable) {
  ClipList<PromptFiles> clips;
  for (int i = 0; i < 6; ++i) clips.add({std::to_string(i), "c", "e"});
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const auto chosen = choose_prompts(clips, "3", 2, seed);
    ASSERT_EQ(chosen.size(), 2u);
    EXPECT_NE(chosen[0].id, chosen[1].id);
    EXPECT_NE(chosen[0].id, "3");
    EXPECT_NE(chosen[1].id, "3");
    EXPECT_EQ(choose_prompts(clips, "3", 2, seed)[1].id, chosen[1].id);
    seen.insert({chosen[0].id, chosen[1].id});
  }
  EXPECT_EQ(seen.size(), 5u) << "each of the others has its turn";
  EXPECT_EQ(choose_prompts(clips, "3", 9, 1).size(), 5u);
  EXPECT_TRUE(choose_prompts({clips[3]}, "3", 2, 1).empty());
  EXPECT_EQ(choose_prompts({clips[1]}, "3", 2, 1)[0].id, "1");
}

}  // namespace
}  // namespace ttsft::indextts2::test
