// Recordings, upstream's .npy files and its packed sets, all to the same prepared set.
#include "models/fish_s2_pro/prep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/fish_s2_pro/codes.h"
#include "tests/models/fish_s2_pro/fish_fixture.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/audio/audio.h"
#include "ttsft/audio/sinc_resample.h"
#include "ttsft/core/error.h"
#include "ttsft/model/registry.h"
#include "ttsft/prep/prep.h"

namespace ttsft::fish_s2_pro::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class PrepTest : public testing::Test {
 protected:
  PrepTest() : config_(default_run("fish-s2-pro")) {
    config_.checkpoint = fixture().path("checkpoint");
    config_.device = "cpu";
    config_.data.prepared = folder_ / "prepared";
    config_.data.validation.share = 0;
  }
  nlohmann::ordered_json prepare(const fs::path& source) {
    config_.data.source = source;
    return run_prep(config_, find_model("fish-s2-pro"), {});
  }
  // A folder as upstream's extraction leaves it.
  fs::path coded() const {
    const fs::path folder = folder_ / "coded" / "audio";
    fs::create_directories(folder);
    for (const std::string id : {"a", "b", "c"}) {
      for (const char* ending : {".wav", ".lab"})
        fs::copy_file(fixture().path("audio/" + id + ending), folder / (id + ending));
      fs::copy_file(fixture().path("expected/prep/" + id + ".npy"), folder / (id + ".npy"));
    }
    return folder;
  }
  void expect_upstreams_files() const {
    for (const std::string id : {"a", "b", "c"})
      EXPECT_EQ(read_text(config_.data.prepared / codes_file(id)),
                read_text(fixture().path("expected/prep/" + id + ".npy")))
          << id;
    expect_packed();
  }
  void expect_packed() const {
    EXPECT_EQ(read_text(config_.data.prepared / "train" / "00000000.protos"),
              read_text(fixture().path("expected/prep/00000000.protos")));
  }

  TemporaryFolder folder_;
  RunConfig config_;
};

TEST_F(PrepTest, RecordingsBecomeUpstreamsFiles) {
  prepare(fixture().path("audio/metadata.csv"));
  expect_upstreams_files();
}

TEST_F(PrepTest, UpstreamsCodesAreTaken) {
  prepare(coded());
  expect_upstreams_files();
  // Other codes in the folder are other rows.
  fs::copy_file(fixture().path("expected/prep/b.npy"), folder_ / "coded/audio/a.npy",
                fs::copy_options::overwrite_existing);
  prepare(folder_ / "coded" / "audio");
  EXPECT_EQ(read_text(config_.data.prepared / codes_file("a")),
            read_text(fixture().path("expected/prep/b.npy")));
}

TEST_F(PrepTest, APackedSetIsReadBack) {
  prepare(fixture().path("expected/prep/00000000.protos"));
  expect_packed();
  EXPECT_EQ(read_text(config_.data.prepared / codes_file("00000000-00001")),
            read_text(fixture().path("expected/prep/a.npy")));
  const std::string whole = read_text(fixture().path("expected/prep/00000000.protos"));
  folder_.write("half.protos", whole.substr(0, whole.size() / 2));
  EXPECT_THAT(message_of<DataError>([&] { prepare(folder_ / "half.protos"); }),
              HasSubstr("ends inside a record"));
}

TEST_F(PrepTest, TheResamplerIsUpstreams) {
  const torch::Tensor in = expected("prep", "resample.in"), out = expected("prep", "resample.out");
  const auto rates = expected_json("prep")["resample"];
  const std::vector<float> made =
      resample_sinc({in.data_ptr<float>(), static_cast<size_t>(in.numel())}, rates["in_rate"],
                    rates["out_rate"], KernelPrecision::kFloat);
  expect_close(torch::tensor(made), out, 1e-5, "resampled");
}

TEST_F(PrepTest, WrongCodesAreNamed) {
  const Config config = read_config(config_.checkpoint);
  const fs::path file = folder_ / "codes.npy";
  write_codes(file, torch::full({4, 10}, 4096, torch::kInt64));
  EXPECT_THAT(message_of<DataError>([&] { read_codes(file, config, "x"); }), HasSubstr("4096"));
  write_codes(file, torch::zeros({4, 9}, torch::kInt64));
  EXPECT_THAT(message_of<DataError>([&] { read_codes(file, config, "x"); }), HasSubstr("[9, 4]"));
  write_codes(file, torch::full({4, 10}, 4095, torch::kInt64));
  EXPECT_EQ(codes_beyond(read_codes(file, config, "x"), 1024), 36);
}

TEST_F(PrepTest, ATextWithoutWordsIsRefusedAndMarkupIsCounted) {
  fs::copy(fixture().path("audio"), folder_ / "audio");
  fs::remove(folder_ / "audio/metadata.csv");
  folder_.write("audio/a.lab", "<laughs>");
  folder_.write("audio/b.lab", "he might {breath} have <|speaker:1|>even");
  testing::internal::CaptureStderr();
  prepare(folder_ / "audio");
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("1 of "));
  EXPECT_THAT(read_text(config_.data.prepared / "rejected.jsonl"), HasSubstr("no words are left"));
}

}  // namespace
}  // namespace ttsft::fish_s2_pro::test
