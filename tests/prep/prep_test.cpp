#include "ttsft/prep/prep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <map>
#include <random>
#include <set>
#include <sstream>
#include <thread>

#include "prep/toy_preparer.h"
#include "support/temporary_folder.h"
#include "ttsft/core/signals.h"
#include "ttsft/data/prepared_set.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/model/voices.h"
#include "ttsft/nn/precision.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

std::vector<float> noise(int rate, double seconds, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> value(-0.5f, 0.5f);
  std::vector<float> samples(static_cast<size_t>(rate * seconds));
  for (float& sample : samples) sample = value(random);
  return samples;
}

// Four clips a, b, c, d of 0.2, 0.3, 0.4 and 0.5 s: with a budget of 20000 samples every two share
// a batch at most.
class Prep : public ::testing::Test {
 protected:
  Prep() {
    for (int i = 0; i < 4; ++i) write_clip(kIds[i], ToyPreparer::kRate, 0.2 + 0.1 * i);
    write_source({{"a", "one"}, {"b", "two"}, {"c", "three"}, {"d", "four"}});
    folder_.write("checkpoint/toy.txt", "weights 1");
    config_.checkpoint = folder_ / "checkpoint";
    config_.data.source = folder_ / "source.jsonl";
    config_.data.prepared = folder_ / "prepared";
    config_.data.validation.share = 0;
  }

  void write_clip(const std::string& id, int rate, double seconds, uint32_t seed = 1) const {
    write_wav(folder_ / (id + ".wav"), noise(rate, seconds, seed), rate);
  }
  void write_source(const std::vector<std::pair<std::string, std::string>>& texts) const {
    std::string lines;
    for (const auto& [id, text] : texts) {
      lines += ordered_json{{"audio", id + ".wav"}, {"text", text}}.dump() + "\n";
    }
    folder_.write("source.jsonl", lines);
  }
  ordered_json prep(bool dry_run = false) {
    adapter_.log.batches.clear();
    adapter_.log.finished.clear();
    adapter_.log.loads = 0;
    return run_prep(config_, adapter_, {.dry_run = dry_run});
  }
  std::vector<std::string> encoded() const {
    std::vector<std::string> ids;
    for (const auto& batch : adapter_.log.batches)
      ids.insert(ids.end(), batch.begin(), batch.end());
    return ids;
  }
  PreparedSet open() const { return PreparedSet::open(config_.data.prepared, "toy"); }
  std::vector<std::string> ids(const PreparedRows& rows) const {
    std::vector<std::string> found;
    for (const PreparedRow& row : rows) found.push_back(row.id);
    return found;
  }
  std::string rejected() const { return read_text(config_.data.prepared / "rejected.jsonl"); }

  static constexpr const char* kIds[] = {"a", "b", "c", "d"};
  TemporaryFolder folder_;
  ToyAdapter adapter_;
  RunConfig config_;
};

TEST_F(Prep, EncodesInExactFloat32AndPutsLibTorchsStateBack) {
  at::globalContext().setAllowTF32CuDNN(true);  // LibTorch's default
  int batches = 0;
  adapter_.log.before_encode = [&] {
    EXPECT_TRUE(float32_is(Float32::kExact));
    ++batches;
  };
  prep();
  EXPECT_GT(batches, 0);
  EXPECT_FALSE(float32_is(Float32::kExact));
  adapter_.log.before_encode = [] { throw RunError("the device is gone"); };
  config_.data.prepared = folder_ / "again";
  EXPECT_THROW(prep(), RunError);
  EXPECT_FALSE(float32_is(Float32::kExact));
}

TEST_F(Prep, WritesTheRowsInTheSourcesOrderWithAnIndex) {
  const ordered_json result = prep();
  EXPECT_EQ(result["encoded"], 4);
  EXPECT_EQ(result["reused"], 0);
  EXPECT_EQ(result["rejected"], 0);
  EXPECT_EQ(result["train"], 4);
  EXPECT_NEAR(result["seconds"].get<double>(), 1.4, 1e-6);
  EXPECT_NEAR(result["lengths"]["longest"].get<double>(), 0.5, 1e-6);
  const PreparedSet set = open();
  EXPECT_THAT(ids(set.train), ElementsAre("a", "b", "c", "d"));
  EXPECT_EQ(set.train[0].row["audio_codes"], ordered_json({3200, 50}));
  EXPECT_EQ(set.train[0].row["text"], "one");
  EXPECT_EQ(set.index["fingerprint"], "weights 1");
  EXPECT_EQ(set.index["source"]["format"], "JSONL");
  EXPECT_EQ(set.index["rates"]["codec_out"], 24000);
  EXPECT_EQ(set.index["totals"]["utterances"], 4);
  EXPECT_EQ(set.index["validation"], (ordered_json{{"share", 0.0}}));
  EXPECT_EQ(set.index["model_files"]["statistics"], "statistics.txt");
  EXPECT_EQ(read_text(config_.data.prepared / "statistics.txt"), "4");
}

TEST_F(Prep, BatchesHoldClipsOfLikeLengthWithinTheBudget) {
  prep();
  EXPECT_THAT(adapter_.log.batches, ElementsAre(ElementsAre("d", "c"), ElementsAre("b", "a")));
}

TEST_F(Prep, AnUnchangedSetIsReusedWithoutReadingAudio) {
  prep();
  const std::string before = read_text(config_.data.prepared / "train.jsonl");
  const ordered_json again = prep();
  EXPECT_EQ(again["reused"], 4);
  EXPECT_EQ(again["encoded"], 0);
  EXPECT_EQ(adapter_.log.loads, 0);
  EXPECT_NEAR(again["seconds"].get<double>(), 1.4, 1e-6);
  EXPECT_THAT(adapter_.log.finished, ElementsAre("a", "b", "c", "d"));  // speakers need all rows
  EXPECT_EQ(read_text(config_.data.prepared / "train.jsonl"), before);
}

TEST_F(Prep, OnlyWhatChangedIsEncodedAgain) {
  prep();
  write_source({{"a", "one"}, {"b", "2"}, {"c", "three"}, {"d", "four"}});
  write_clip("c", ToyPreparer::kRate, 0.4, 7);
  EXPECT_EQ(prep()["reused"], 2);
  EXPECT_THAT(encoded(), UnorderedElementsAre("b", "c"));
  folder_.write("checkpoint/toy.txt", "weights 2");
  EXPECT_EQ(prep()["encoded"], 4);
  config_.data.speaker = "someone";
  EXPECT_EQ(prep()["encoded"], 4);
}

TEST_F(Prep, RowsThatLeftTheSourceLeaveTheSet) {
  prep();
  write_source({{"d", "four"}, {"a", "one"}});
  EXPECT_EQ(prep()["reused"], 2);
  EXPECT_THAT(ids(open().train), ElementsAre("d", "a"));
}

TEST_F(Prep, WhatCannotBeReadIsRejectedAndTheRestGoesOn) {
  folder_.write("b.wav", "not audio");
  write_clip("c", ToyPreparer::kRate, 0);
  write_source({{"a", "one"}, {"b", "two"}, {"c", "three"}, {"d", "four"}, {"e", "no such file"}});
  const ordered_json result = prep();
  EXPECT_EQ(result["rejected"], 3);
  EXPECT_EQ(result["utterances"], 5);
  EXPECT_THAT(ids(open().train), ElementsAre("a", "d"));
  EXPECT_THAT(rejected(), AllOf(HasSubstr("audio_missing"), HasSubstr("audio_unreadable"),
                                HasSubstr("source.jsonl line 2")));
  EXPECT_EQ(
      result["guards"]["audio_unreadable"]["refused"].get<int>() +
          result["guards"].value("audio_empty", ordered_json{{"refused", 0}})["refused"].get<int>(),
      2);
}

TEST_F(Prep, TheModelMayRefuseARow) {
  write_source({{"a", "unspeakable"}, {"b", "broken"}, {"c", "unencodable"}, {"d", "four"}});
  EXPECT_EQ(prep()["guards"]["model"]["refused"], 3);
  EXPECT_THAT(ids(open().train), ElementsAre("d"));
  EXPECT_THAT(rejected(), AllOf(HasSubstr("the text has no token"), HasSubstr("cannot be loaded"),
                                HasSubstr("no code fits")));
}

TEST_F(Prep, ARowThatBreaksItsBatchIsRefusedAlone) {
  write_source({{"a", "one"}, {"b", "poison"}, {"c", "three"}, {"d", "four"}});
  EXPECT_EQ(prep()["guards"]["model"]["refused"], 1);
  EXPECT_THAT(ids(open().train), ElementsAre("a", "c", "d"));
  EXPECT_THAT(rejected(), HasSubstr("breaks its batch: b"));
}

TEST_F(Prep, ABatchThatTheMemoryDoesNotTakeIsHalvedAndTheSizeRemembered) {
  adapter_.log.most_samples = 9000;
  int tried = 0;
  adapter_.log.before_encode = [&] { ++tried; };
  EXPECT_EQ(prep()["encoded"], 4);
  // d and c together have 16000 samples, b and a 9600: above half of what fell short, so they are
  // not tried together.
  EXPECT_THAT(adapter_.log.batches,
              ElementsAre(ElementsAre("d"), ElementsAre("c"), ElementsAre("b"), ElementsAre("a")));
  EXPECT_EQ(tried, 5) << "one attempt failed";
}

TEST_F(Prep, OneRecordingThatTheMemoryDoesNotTakeIsNamed) {
  adapter_.log.most_samples = 5000;
  EXPECT_THAT(message_of<RunError>([&] { prep(); }),
              AllOf(HasSubstr("source.jsonl line 4"), HasSubstr("device: cpu"),
                    HasSubstr("data.batch_seconds")));
}

TEST_F(Prep, FilesAreWrittenBehindTheEncoder) {
  std::set<std::thread::id> threads;
  std::vector<std::string> saved;
  adapter_.log.save = [&](const std::string& id) {
    threads.insert(std::this_thread::get_id());
    saved.push_back(id);
  };
  prep();
  EXPECT_THAT(saved, UnorderedElementsAre("a", "b", "c", "d"));
  EXPECT_EQ(threads.count(std::this_thread::get_id()), 0u);

  write_source({{"a", "other"}, {"b", "other"}, {"c", "three"}, {"d", "four"}});
  adapter_.log.save = [](const std::string& id) {
    if (id == "a") throw RunError("the disk is full");
  };
  EXPECT_THROW(prep(), RunError);
  adapter_.log.save = nullptr;
  const ordered_json again = prep();
  EXPECT_EQ(again["reused"], 3) << "b was saved before a";
  EXPECT_EQ(again["encoded"], 1) << "a row without its files is not prepared";
}

TEST_F(Prep, FilesOfTheSetAreInTheIndex) {
  prep();
  EXPECT_TRUE(open().index["set_files"]["statistics.txt"].contains("hash"));
  folder_.write("prepared/statistics.txt", "5");
  EXPECT_THAT(message_of<DataError>([&] { open(); }), HasSubstr("statistics.txt"));
  EXPECT_EQ(prep()["reused"], 4);
  EXPECT_EQ(open().train.size(), 4u);
}

TEST_F(Prep, WarningsAreCountedAndStandWithTheRow) {
  write_clip("a", 8000, 0.3);  // its content ends at 4 kHz, the encoder hears up to 8 kHz
  const ordered_json result = prep();
  EXPECT_EQ(result["guards"]["bandwidth"]["warned"], 1);
  EXPECT_EQ(result["guards"]["few_clips"]["warned"], 1);
  EXPECT_EQ(result["resampled"], (ordered_json{{"8000", 1}}));
  const ordered_json index = open().index;
  EXPECT_EQ(index["resampled"]["8000"], 1);
  const ordered_json notes = open().all()[0].notes;
  EXPECT_EQ(notes["sample_rate"], 8000);
  EXPECT_TRUE(notes["findings"].contains("bandwidth"));
  const ordered_json again = prep();  // known without reading the recordings
  EXPECT_EQ(again["reused"], 4);
  EXPECT_EQ(again["guards"]["bandwidth"]["warned"], 1);
  EXPECT_EQ(again["resampled"]["8000"], 1);
}

TEST_F(Prep, AGuardMovedLaterAlsoDecidesAboutReusedRows) {
  write_clip("a", 8000, 0.3);
  prep();
  config_.data.guards = {{"bandwidth", "refuse"}};
  EXPECT_EQ(prep()["rejected"], 1);
  EXPECT_THAT(ids(open().train), ElementsAre("b", "c", "d"));
  config_.data.guards = {{"bandwidth", "off"}, {"few_clips", "off"}, {"resampling", "off"}};
  const ordered_json result = prep();
  EXPECT_EQ(result["train"], 4);
  EXPECT_THAT(result["guards"], IsEmpty());
}

TEST_F(Prep, ResamplingMayBeRefused) {
  write_clip("b", 24000, 0.3);
  config_.data.guards = {{"resampling", "refuse"}};
  EXPECT_EQ(prep()["guards"]["resampling"]["refused"], 1);
  EXPECT_THAT(rejected(), HasSubstr("24000 Hz file for an encoder that takes 16000 Hz"));
}

TEST_F(Prep, GuardsOnTheWholeSet) {
  config_.data.guards = {{"few_clips", "refuse"}};
  EXPECT_THAT(message_of<DataError>([&] { prep(); }), HasSubstr("only 4 clips"));
  config_.data.guards = {};
  adapter_.info_.license = {.weights = "CC-BY-NC-4.0", .commercial = false, .note = ""};
  EXPECT_EQ(prep()["guards"]["license"]["warned"], 1);
  config_.data.guards = {{"license", "refuse"}};
  EXPECT_THAT(message_of<DataError>([&] { prep(); }), HasSubstr("CC-BY-NC-4.0"));
}

TEST_F(Prep, NoUsableRowIsAnErrorThatSaysWhy) {
  for (const char* id : kIds) folder_.write(std::string(id) + ".wav", "not audio");
  EXPECT_THAT(message_of<DataError>([&] { prep(); }),
              AllOf(HasSubstr("none of 4 clips"), HasSubstr("audio_unreadable 4"),
                    HasSubstr("source.jsonl line 1"), HasSubstr("rejected.jsonl")));
  EXPECT_THAT(rejected(), HasSubstr("\"id\":\"d\""));
  EXPECT_FALSE(fs::exists(config_.data.prepared / "index.json"));
}

TEST_F(Prep, CodesOfTheRowAreTakenWithoutItsAudio) {
  folder_.write("a.wav", "not audio");
  folder_.write("source.jsonl", R"({"audio":"a.wav","text":"one","audio_codes":[7,8],"mark":1})");
  EXPECT_EQ(prep()["seconds"], 2);
  EXPECT_EQ(open().train[0].row["audio_codes"], ordered_json({7, 8}));
  EXPECT_EQ(open().train[0].row["mark"], 1);
  folder_.write("source.jsonl", R"({"audio":"a.wav","text":"one","audio_codes":[7,9],"mark":1})");
  EXPECT_EQ(prep()["encoded"], 1);
}

// A checkpoint without an encoder takes rows that were encoded elsewhere.
TEST_F(Prep, RecordingsWithoutAnEncoderAreRefusedRowByRow) {
  adapter_.can.encode_audio = false;
  adapter_.can.why_not = "the release holds no encoder";
  folder_.write("source.jsonl",
                ordered_json{{"id", "a"}, {"text", "one"}, {"audio", "a.wav"}}.dump() + "\n" +
                    ordered_json{{"id", "x"}, {"text", "two"}, {"audio_codes", {1, 2}}}.dump() +
                    "\n");
  const ordered_json result = prep();
  EXPECT_EQ(result.at("rejected"), 1);
  EXPECT_EQ(ids(open().train), std::vector<std::string>{"x"});
  EXPECT_EQ(result.at("guards").at("encoder_missing").at("refused"), 1);
  EXPECT_THAT(read_text(config_.data.prepared / "rejected.jsonl"),
              HasSubstr("the release holds no encoder"));
  write_source({{"a", "one"}});
  const std::string error = message_of<DataError>([&] { prep(); });
  EXPECT_THAT(error, HasSubstr("encodes no recordings: the release holds no encoder"));
  EXPECT_THAT(error, HasSubstr("give rows that bring audio_codes"));
}

TEST_F(Prep, AStopKeepsWhatIsEncodedAndTheNextRunContinues) {
  install_signal_handlers();
  clear_stop_signal();
  adapter_.log.before_encode = [] { std::raise(SIGTERM); };  // during the first batch
  int signal = 0;
  try {
    prep();
  } catch (const Stopped& stopped) {
    signal = stopped.signal;
  }
  clear_stop_signal();
  EXPECT_EQ(signal, SIGTERM);
  EXPECT_THAT(adapter_.log.batches, SizeIs(1));
  EXPECT_THAT(message_of<DataError>([&] { open(); }), HasSubstr("run prep again"));
  adapter_.log.before_encode = [] {};
  EXPECT_EQ(prep()["reused"], 2);
  EXPECT_THAT(encoded(), UnorderedElementsAre("a", "b"));
  EXPECT_THAT(ids(open().train), ElementsAre("a", "b", "c", "d"));
}

TEST_F(Prep, AnErrorInTheMiddleLeavesAJournalToContinueFrom) {
  int batch = 0;
  adapter_.log.before_encode = [&] {
    if (++batch == 2) throw RunError("the device is gone");
  };
  EXPECT_THROW(prep(), RunError);
  adapter_.log.before_encode = [] {};
  EXPECT_EQ(prep()["reused"], 2);
  EXPECT_THAT(ids(open().train), ElementsAre("a", "b", "c", "d"));
}

TEST_F(Prep, ADryRunMeasuresAndWritesNothing) {
  write_clip("a", 8000, 0.3);
  const ordered_json plan = prep(true);
  EXPECT_EQ(plan["dry_run"], true);
  EXPECT_EQ(plan["to_encode"], 4);
  EXPECT_EQ(plan["guards"]["bandwidth"]["warned"], 1);
  EXPECT_THAT(adapter_.log.batches, IsEmpty());
  EXPECT_FALSE(fs::exists(config_.data.prepared));
  write_source({{"a", "unspeakable"}, {"b", "two"}, {"c", "three"}, {"d", "four"}});
  EXPECT_EQ(prep(true)["rejected"], 1);
  prep();
  EXPECT_EQ(prep(true)["reused"], 3);
  EXPECT_THAT(describe_prep(plan), HasSubstr("dry run"));
}

TEST_F(Prep, ValidationByListIsRecordedWithItsHash) {
  config_.data.validation.list = folder_.write("validation.txt", "b\nd\n");
  folder_.write("d.wav", "not audio");
  const ordered_json result = prep();
  EXPECT_EQ(result["validation"], 1);  // d was refused
  const PreparedSet set = open();
  EXPECT_THAT(ids(set.validation), ElementsAre("b"));
  EXPECT_EQ(set.index["validation"]["list"], (folder_ / "validation.txt").string());
  EXPECT_THAT(set.index["validation"]["hash"].get<std::string>(), SizeIs(32));
  folder_.write("validation.txt", "bb\n");
  EXPECT_THAT(message_of<DataError>([&] { prep(); }), HasSubstr("'bb'"));
}

TEST_F(Prep, AnotherSplitEncodesNothing) {
  prep();
  config_.data.validation.share = 0.5;
  const ordered_json result = prep();
  EXPECT_EQ(result["encoded"], 0);
  EXPECT_GT(result["validation"], 0);
  EXPECT_EQ(open().validation.size(), result["validation"]);
}

TEST_F(Prep, RefusesWrongUse) {
  RunConfig good = config_;
  config_.data.guards = {{"bandwith", "off"}};
  EXPECT_THAT(message_of<UsageError>([&] { prep(); }), HasSubstr("'bandwidth'"));
  config_ = good;
  config_.data.prepared.clear();
  EXPECT_THAT(message_of<UsageError>([&] { prep(); }), HasSubstr("data.prepared"));
  config_ = good;
  config_.checkpoint = folder_ / "nowhere";
  EXPECT_THAT(message_of<UsageError>([&] { prep(); }), HasSubstr("nowhere"));
  config_.checkpoint = folder_.path();
  EXPECT_THAT(message_of<DataError>([&] { prep(); }), HasSubstr("not a checkpoint of toy"));
  config_ = good;
  config_.device = "warp";
  EXPECT_THROW(prep(), UsageError);
  EXPECT_EQ(adapter_.log.loads, 0);
  EXPECT_FALSE(fs::exists(good.data.prepared));
}

TEST_F(Prep, OneRunAtATime) {
  const PreparedWriter other(config_.data.prepared, "toy");
  EXPECT_THAT(message_of<RunError>([&] { prep(); }), HasSubstr("in use"));
}

TEST_F(Prep, DescribesItself) {
  write_clip("a", 8000, 0.3);
  const std::string text = describe_prep(prep());
  EXPECT_THAT(text, AllOf(HasSubstr("4 encoded, 0 reused, 0 rejected"),
                          HasSubstr("1 of 8000 Hz to 16000 Hz"), HasSubstr("bandwidth: 1 warned")));
}

TEST_F(Prep, RowsWhoseFilesAreGoneAreMadeAnew) {
  prep();
  adapter_.log.intact = [](const std::string& id) { return id != "b"; };
  EXPECT_EQ(prep()["reused"], 3);
  EXPECT_THAT(encoded(), ElementsAre("b"));
  EXPECT_THAT(open().all(), SizeIs(4));
}

TEST_F(Prep, WhatARowRefersToIsAPartOfItsKey) {
  prep();
  adapter_.log.content_hash = [](const std::string& id) { return id == "c" ? "other" : ""; };
  EXPECT_EQ(prep()["reused"], 3);
  EXPECT_THAT(encoded(), ElementsAre("c"));
  EXPECT_EQ(prep()["reused"], 4) << "the same content again";
}

TEST_F(Prep, ARowThatRefersToWhatIsGoneIsRejectedAlone) {
  adapter_.log.content_hash = [](const std::string& id) -> std::string {
    if (id == "b") throw DataError("cannot open the file", "b.npy");
    return "";
  };
  EXPECT_EQ(prep()["rejected"], 1);
  EXPECT_THAT(ids(open().train), ElementsAre("a", "c", "d"));
  EXPECT_THAT(rejected(), AllOf(HasSubstr("b.npy"), HasSubstr("source.jsonl line 2")));
}

TEST_F(Prep, ADryRunCountsRowsWhoseFilesAreGone) {
  prep();
  adapter_.log.intact = [](const std::string& id) { return id != "b" && id != "d"; };
  EXPECT_EQ(prep(true)["to_encode"], 2);
}

TEST_F(Prep, SpeakersAreCountedAndHaveAVoice) {
  std::string lines;
  for (const auto& [id, speaker] : std::map<std::string, std::string>{
           {"a", "anna"}, {"b", "anna"}, {"c", "boris"}, {"d", "boris"}})
    lines +=
        ordered_json{{"audio", id + ".wav"}, {"text", "one"}, {"speaker", speaker}}.dump() + "\n";
  folder_.write("source.jsonl", lines);
  const ordered_json result = prep();
  ASSERT_EQ(result["speakers"].size(), 2u);
  EXPECT_EQ(result["speakers"]["anna"]["clips"], 2);
  EXPECT_NEAR(result["speakers"]["anna"]["seconds"].get<double>(), 0.5, 1e-6);
  EXPECT_EQ(result["speakers"]["anna"]["voice"], "b");  // the longer one
  EXPECT_THAT(describe_prep(result),
              HasSubstr("speakers    anna 2 clips 0:01, boris 2 clips 0:01"));
  EXPECT_EQ(adapter_.log.voices.at("boris").file, folder_ / "d.wav");
  const auto voices = read_voices(config_.data.prepared);
  ASSERT_THAT(voices, SizeIs(2));
  EXPECT_EQ(read_text(voices[0].recording), read_text(folder_ / "b.wav"));
  EXPECT_EQ(open().index["speakers"], result["speakers"]);
  EXPECT_FALSE(open().train[0].row.contains("ref_audio"));

  // A model that cannot be without gets the chosen one into its rows.
  adapter_.log.needs_reference = true;
  prep();
  EXPECT_EQ(open().train[0].row["ref_audio"], (folder_ / "b.wav").string());
  EXPECT_EQ(open().train[2].row["ref_audio"], (folder_ / "d.wav").string());
}

TEST_F(Prep, WarnedClipsAreListedWithTheirFindings) {
  write_source({{"a", "one"}, {"b", "<b>two</b>"}, {"c", "three"}, {"d", "..."}});
  const ordered_json result = prep();
  EXPECT_EQ(result["guards"]["text_markup"]["warned"], 1);
  EXPECT_EQ(result["guards"]["text_unspoken"]["refused"], 1);
  std::vector<std::string> found;
  for (std::istringstream lines(read_text(config_.data.prepared / "findings.jsonl"));
       lines.peek() != EOF;) {
    std::string line;
    std::getline(lines, line);
    const auto row = ordered_json::parse(line);
    found.push_back(row["id"].get<std::string>() + " " + row["guard"].get<std::string>());
  }
  EXPECT_THAT(found, ElementsAre("b text_markup"));
  EXPECT_THAT(rejected(), AllOf(HasSubstr("text_unspoken"), HasSubstr("\"d\"")));
  prep();  // reused rows are warned of again
  EXPECT_THAT(read_text(config_.data.prepared / "findings.jsonl"), HasSubstr("<b>"));
}

TEST_F(Prep, ATextFarTooLongForItsRecordingIsNamed) {
  std::vector<std::pair<std::string, std::string>> texts;
  for (int i = 0; i < 9; ++i) {
    const std::string id = "n" + std::to_string(i);
    write_clip(id, ToyPreparer::kRate, 0.5);
    texts.emplace_back(id, "ten letters");
  }
  texts[4].second = std::string(300, 'a');
  texts[7].second = "a";
  write_source(texts);
  EXPECT_EQ(prep()["guards"]["text_rate"]["warned"], 2);
  const std::string findings = read_text(config_.data.prepared / "findings.jsonl");
  EXPECT_THAT(findings, AllOf(HasSubstr("\"n4\""), HasSubstr("600.0 letters per second"),
                              HasSubstr("\"n7\""), HasSubstr("source.jsonl line 5")));
  config_.data.guards = {{"text_rate", "refuse"}};
  EXPECT_EQ(prep()["train"], 7);
  EXPECT_THAT(rejected(), HasSubstr("text_rate"));
}

// A piece of a tape is a recording like any other, in a dry run too.
TEST_F(Prep, SegmentsOfATapeBecomeFiles) {
  folder_.write("tapes/text", "");
  write_wav(folder_ / "tapes/tape.wav", noise(ToyPreparer::kRate, 2, 5), ToyPreparer::kRate);
  folder_.write("tapes/wav.scp", "tape tape.wav\n");
  folder_.write("tapes/segments", "u1 tape 0 0.5\nu2 tape 0.5 1.25\nu3 tape 1.5 9\n");
  folder_.write("tapes/text", "u1 one\nu2 two\nu3 three\n");
  config_.data.source = folder_ / "tapes";
  EXPECT_EQ(prep(/*dry_run=*/true)["to_encode"], 2);
  EXPECT_FALSE(fs::exists(config_.data.prepared));
  const ordered_json result = prep();
  EXPECT_EQ(result["encoded"], 2);
  EXPECT_EQ(open().train[1].row["audio_codes"][0], 0.75 * ToyPreparer::kRate);
  EXPECT_THAT(rejected(), HasSubstr("it ends at 9"));
  EXPECT_EQ(prep()["reused"], 2);
}

}  // namespace
}  // namespace ttsft
