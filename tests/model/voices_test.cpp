#include "ttsft/model/voices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "ttsft/audio/audio.h"
#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/model/adapter.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// A model whose weights name voices, or not, and which speaks as a learned one by its recording.
class Named : public ModelAdapter {
 public:
  const ModelInfo& info() const override { return info_; }
  std::shared_ptr<Section> make_options() const override { return nullptr; }
  void preset(RunConfig&) const override {}
  std::string recognise(const fs::path&) const override { return ""; }
  std::unique_ptr<Preparer> make_preparer(const ModelContext&) const override { return nullptr; }
  std::unique_ptr<Stage> make_stage(const ModelContext&, const CheckpointRef&) const override {
    return nullptr;
  }
  std::unique_ptr<Synthesizer> make_synthesizer(const ModelContext&, const CheckpointSet&,
                                                double) const override {
    return nullptr;
  }
  Rounding export_checkpoint(const ModelContext&, const CheckpointSet&, double,
                             const fs::path&) const override {
    return {};
  }
  std::vector<std::string> named_voices(const RunConfig&, const CheckpointSet&) const override {
    return names;
  }
  void speak_as(RunConfig& config, const LearnedVoice& voice) const override {
    speak_as_recorded(config, voice);
  }

  std::vector<std::string> names;

 private:
  ModelInfo info_;
};

class VoicesTest : public ::testing::Test {
 protected:
  VoicesTest() {
    for (const char* name : {"anna", "boris"})
      write_wav(folder_ / (std::string(name) + ".wav"), std::vector<float>(800, 0.1f), 8000);
    fs::create_directories(folder_ / "base");
    fs::create_directories(folder_ / "step");
    set_.base = {"base", folder_ / "base", CheckpointKind::kBase, -1};
    config_.checkpoint = folder_ / "base";
  }

  LearnedVoice voice(const std::string& name) const {
    LearnedVoice made;
    made.speaker = name;
    made.clips = 3;
    made.seconds = 7.5;
    made.recording = folder_ / ((name.empty() ? "anna" : name) + ".wav");
    made.text = "what " + name + " says";
    return made;
  }
  void learn(const std::vector<std::string>& names) {
    std::vector<LearnedVoice> voices;
    for (const std::string& name : names) voices.push_back(voice(name));
    write_learned_voices(folder_ / "step", voices);
    set_.stages["lm"] = {"step-1", folder_ / "step", CheckpointKind::kAdapter, 1};
  }
  RunConfig speaking(const std::string& speaker, bool speaks = true) {
    config_.data.speaker = speaker;
    return with_voice(config_, adapter_, set_, speaks);
  }
  std::string refusal(const std::string& speaker) {
    return message_of<UsageError>([&] { speaking(speaker); });
  }

  TemporaryFolder folder_;
  Named adapter_;
  CheckpointSet set_;
  RunConfig config_;
};

TEST_F(VoicesTest, AreKeptWithTheirRecordings) {
  EXPECT_TRUE(read_voices(folder_ / "base").empty());
  write_learned_voices(folder_ / "base", {voice("anna"), voice("boris")});
  const auto voices = read_voices(folder_ / "base");
  ASSERT_THAT(voices, SizeIs(2));
  EXPECT_EQ(voices[0].speaker, "anna");
  EXPECT_EQ(voices[0].clips, 3);
  EXPECT_EQ(voices[0].seconds, 7.5);
  EXPECT_EQ(voices[0].text, "what anna says");
  EXPECT_EQ(voices[0].among, 2);
  EXPECT_EQ(read_text(voices[0].recording), read_text(folder_ / "anna.wav"));
  EXPECT_EQ(describe_voices(voices), "anna 3 clips 0:08, boris 3 clips 0:08");

  // Over those of the release that a checkpoint was made from.
  write_learned_voices(folder_ / "copy", {voice("")});
  copy_voices(folder_ / "base", folder_ / "copy");
  EXPECT_THAT(read_voices(folder_ / "copy"), SizeIs(2));
  fs::remove(folder_ / "copy/voices/boris.wav");
  EXPECT_THAT(message_of<DataError>([&] { read_voices(folder_ / "copy"); }),
              AllOf(HasSubstr("'boris'"), HasSubstr("voices/boris.wav")));
}

// A file from elsewhere cannot lead out of its folder.
TEST_F(VoicesTest, ARecordingLiesInTheFolder) {
  folder_.write("step/voices.json",
                R"({"eve": {"clips": 1, "seconds": 1, "recording": "../../anna.wav"}})");
  EXPECT_THAT(message_of<DataError>([&] { read_voices(folder_ / "step"); }),
              HasSubstr("step/voices/anna.wav"));
}

TEST_F(VoicesTest, ALearnedOneSpeaksByItsRecordingInAnyCase) {
  learn({"anna", "boris"});
  for (const char* name : {"boris", "Boris", "BORIS"}) {
    const RunConfig run = speaking(name);
    EXPECT_EQ(run.data.speaker, "boris");
    EXPECT_EQ(run.data.reference.file, folder_ / "step/voices/boris.wav");
  }
  EXPECT_THAT(refusal("bori"), AllOf(HasSubstr("no voice is called 'bori'"),
                                     HasSubstr("is 'boris' meant?"), HasSubstr("anna, boris")));
  EXPECT_THAT(refusal(""), AllOf(HasSubstr("no speaker is named"), HasSubstr("anna, boris")));
  EXPECT_NO_THROW(speaking("", /*speaks=*/false));
  config_.data.reference = folder_ / "anna.wav";
  EXPECT_THAT(refusal("nobody"), HasSubstr("known: anna, boris"));
  EXPECT_EQ(speaking("").data.reference.file, folder_ / "anna.wav");  // a voice without a name
}

TEST_F(VoicesTest, AnOnlyOneNeedsNoName) {
  learn({""});
  EXPECT_EQ(speaking("").data.reference.file, folder_ / "step/voices/voice.wav");
  EXPECT_THAT(refusal("anna"), HasSubstr("remove data.speaker"));
  learn({"anna"});
  EXPECT_EQ(speaking("").data.speaker, "anna");
  EXPECT_THAT(refusal("dan"), HasSubstr("known: anna"));
}

TEST_F(VoicesTest, OnesThatTheWeightsNameNeedNoRecording) {
  adapter_.names = {"Vivian"};
  EXPECT_EQ(speaking("vivian").data.speaker, "Vivian");
  EXPECT_TRUE(speaking("vivian").data.reference.file.empty());
  EXPECT_THAT(refusal("Vivian, very happy"), HasSubstr("known: Vivian"));
  // For a release the recording decides, and the name is a label.
  config_.data.reference = folder_ / "anna.wav";
  EXPECT_EQ(speaking("anna").data.reference.file, folder_ / "anna.wav");
}

TEST_F(VoicesTest, AReleaseWithoutNamesSaysThatTheNameIsALabel) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(speaking("anna").data.speaker, "anna");
  EXPECT_THAT(testing::internal::GetCapturedStderr(), AllOf(HasSubstr("'anna' is only a label")));
}

TEST_F(VoicesTest, DataReferenceBySpeaker) {
  config_.data.reference.by_speaker = {{"anna", folder_ / "anna.wav"},
                                       {"boris", folder_ / "boris.wav"}};
  EXPECT_EQ(speaking("Boris").data.reference.file, folder_ / "boris.wav");
  EXPECT_THAT(refusal("dan"), HasSubstr("known: anna, boris"));
  EXPECT_THAT(refusal(""), HasSubstr("no speaker is named"));
  fs::copy_file(folder_ / "anna.wav", folder_ / "dan.wav");
  learn({"anna", "dan"});
  EXPECT_EQ(speaking("anna").data.reference.file, folder_ / "anna.wav");
  EXPECT_EQ(speaking("dan").data.reference.file, folder_ / "step/voices/dan.wav");
}

}  // namespace
}  // namespace ttsft
