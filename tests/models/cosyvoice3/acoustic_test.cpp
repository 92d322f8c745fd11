// Codes to waves: whole, streamed, of another speed.
#include "models/cosyvoice3/acoustic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/models/cosyvoice3/cosyvoice3_fixture.h"
#include "ttsft/core/error.h"
#include "ttsft/io/torch_file.h"

namespace ttsft::cosyvoice3::test {
namespace {

using Ids = std::vector<int64_t>;

class AcousticTest : public testing::Test {
 protected:
  AcousticTest() {
    for (const char* name : {"flow_rand_noise", "rand_ini", "sine_tile"})
      noise_[name] = expected("synth", std::string("noise.") + name);
  }

  // The voice of a recording, as upstream's zero-shot synthesis has it.
  static S3Voice cloned() {
    S3Voice voice;
    voice.prompt_token =
        torch::tensor(expected_json("synth")["zero_shot"]["prompt_tokens"].get<Ids>());
    voice.prompt_feat = expected("synth", "zero_shot.prompt_feat");
    voice.embedding = expected("synth", "zero_shot.embedding");
    return voice;
  }
  static S3Voice unprompted() {
    S3Voice voice = cloned();
    voice.prompt_token = torch::empty({0}, torch::kInt64);
    voice.prompt_feat = torch::empty({0, 80});
    return voice;
  }
  static Acoustic make(const S3Voice& voice, const AcousticOptions& options) {
    const auto file = [](const char* name) {
      return open_tensor_file(fixture().path(std::string("checkpoint/") + name));
    };
    return Acoustic(load_flow(file("flow.pt"), 0, torch::kCPU),
                    load_causal_hift(file("hift.pt"), torch::kCPU), voice, options, torch::kCPU);
  }
  AcousticRow row(const torch::Tensor& codes, bool recorded = true) const {
    AcousticRow row;
    row.codes = codes;
    row.seed = 5;
    row.noise = recorded ? &noise_ : nullptr;
    return row;
  }
  static torch::Tensor spoken_codes() {
    return torch::tensor(expected_json("synth")["zero_shot"]["flow_tokens"].get<Ids>());
  }

  Noise noise_;
};

TEST_F(AcousticTest, HearingInChunksIsUpstreams) {
  const torch::InferenceMode inference;
  Acoustic acoustic = make(cloned(), {});
  const AcousticRow all = row(spoken_codes());
  expect_close(acoustic.frames_of(all, all.codes, 0),
               expected("synth", "zero_shot.mel_streaming_mask"), 2e-4, "whole");
  const torch::Tensor wave =
      acoustic.wave_of(all, expected("synth", "zero_shot.mel"), /*final=*/false);
  EXPECT_EQ(wave.numel(), expected_json("synth")["zero_shot"]["samples_not_final"].get<int64_t>());
  expect_close(wave.slice(0, -3000), expected("synth", "zero_shot.wav_not_final"), 1e-3, "wave");
}

// Pieces of every size. The wave's tolerance: the source sums up the pitch over all frames, and
// with it what rounding leaves of it (0.01 Hz of the golden's tolerance are 1e-3 of a turn in a
// tenth of a second, of the ninth harmonic a hundredth).
TEST_F(AcousticTest, AStreamIsTheWholeDecodeInChunks) {
  torch::manual_seed(3);
  const torch::Tensor codes = torch::randint(0, 6561, {233}, torch::kInt64);
  for (const bool prompted : {true, false}) {
    AcousticOptions options;
    options.chunked = true;
    S3Voice voice = prompted ? cloned() : unprompted();
    if (prompted) {  // the prompt ends inside a chunk
      voice.prompt_token = voice.prompt_token.narrow(0, 0, 41);
      voice.prompt_feat = voice.prompt_feat.narrow(0, 0, 82);
    }
    Acoustic acoustic = make(voice, options);
    const AcousticRow drawn = row(codes, /*recorded=*/false);
    const torch::Tensor whole = acoustic.decode(std::span(&drawn, 1))[0];
    EXPECT_EQ(whole.numel(), 960 * codes.numel());
    auto stream = acoustic.stream(drawn);
    std::vector<torch::Tensor> pieces;
    for (int64_t at = 0; at < codes.numel(); at += 7)
      pieces.push_back(stream->push(codes.slice(0, at, std::min(at + 7, codes.numel()))));
    const auto is_sound = [](const torch::Tensor& piece) { return piece.numel() > 0; };
    EXPECT_EQ(std::count_if(pieces.begin(), pieces.end(), is_sound), 3) << "25, 50 and 100 codes";
    pieces.push_back(stream->flush());
    const torch::Tensor streamed = torch::cat(pieces);
    expect_close(streamed.narrow(0, 0, 24000), whole.narrow(0, 0, 24000), 1e-3, "first second");
    expect_close(streamed, whole, 0.05, prompted ? "prompted" : "alone");

    const c10::InferenceMode inference;
    const torch::Tensor mel = acoustic.frames_of(drawn, codes, 0);
    const int64_t end = prompted ? 34 : 50;  // codes: the end of a chunk
    expect_close(acoustic.frames_of(drawn, codes.narrow(0, 0, end + 3), 3),
                 mel.narrow(1, 0, 2 * end), 2e-4, "mel of a piece");
  }
}

TEST_F(AcousticTest, AShortStreamComesAtItsEnd) {
  Acoustic acoustic = make(unprompted(), {});
  auto stream = acoustic.stream(row(spoken_codes()));
  EXPECT_EQ(stream->push(spoken_codes()).numel(), 0);
  EXPECT_EQ(stream->flush().numel(), 960 * 20);
  EXPECT_EQ(acoustic.stream(row(spoken_codes()))->flush().numel(), 0);
}

TEST_F(AcousticTest, RowsOfABatchAreAsAlone) {
  Acoustic acoustic = make(cloned(), {});
  const torch::Tensor codes = spoken_codes();
  const std::vector<AcousticRow> rows = {row(codes.narrow(0, 0, 9)), row(codes),
                                         row(torch::empty({0}, torch::kInt64))};
  const auto waves = acoustic.decode(rows);
  for (size_t i = 0; i < 2; ++i)
    expect_close(waves[i], acoustic.decode(std::span(&rows[i], 1))[0], 1e-3, std::to_string(i));
  EXPECT_EQ(waves[2].numel(), 0);
}

TEST_F(AcousticTest, DrawnNoiseIsUpstreamsTable) {
  const torch::InferenceMode inference;
  torch::manual_seed(0);
  const torch::Tensor table = torch::randn({80, 15000});
  expect_close(table[0].narrow(0, 0, 4),
               torch::tensor({-1.1258398, -1.1523602, -0.2505786, -0.4338788}), 1e-6);
  Acoustic acoustic = make(unprompted(), {});
  const AcousticRow drawn = row(spoken_codes(), /*recorded=*/false);
  const torch::Tensor own = acoustic.frames_of(drawn, drawn.codes, 0);
  noise_["flow_rand_noise"] = table;
  expect_equal(own, acoustic.frames_of(row(drawn.codes), drawn.codes, 0));
}

TEST_F(AcousticTest, WrongUse) {
  AcousticOptions fast;
  fast.speed = 1.5;
  Acoustic acoustic = make(unprompted(), fast);
  EXPECT_THROW(acoustic.stream(row(spoken_codes())), UsageError);
  AcousticRow wrong = row(torch::zeros({2, 3}, torch::kInt64));
  EXPECT_THROW(acoustic.decode(std::span(&wrong, 1)), DataError);
  wrong = row(torch::full({2}, 6561, torch::kInt64));
  EXPECT_THROW(acoustic.decode(std::span(&wrong, 1)), DataError);
  noise_["flow_rand_noise"] = torch::zeros({80, 3});
  wrong = row(spoken_codes());
  EXPECT_THROW(acoustic.decode(std::span(&wrong, 1)), DataError);
  noise_.erase("sine_tile");
  noise_["flow_rand_noise"] = torch::zeros({80, 99});
  EXPECT_THROW(acoustic.decode(std::span(&wrong, 1)), DataError);
}

}  // namespace
}  // namespace ttsft::cosyvoice3::test
