// A synthesizer without a model, so that the engine around one can be tested in milliseconds.
//
// "ab. cde" has the segments "ab" and "cde" (cut at full stops). A segment has a frame per
// character and each frame two codes: greedy, the character and the frame's number; else drawn from
// the segment's seed. A frame sounds as kToySamples samples of its codes' sum / 1000. '#' ends a
// segment at once, '~' sounds as not a number.
#pragma once

#include <torch/torch.h>

#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/toy_stage.h"
#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"
#include "ttsft/model/synthesizer.h"
#include "ttsft/nn/rng.h"

namespace ttsft::test {

inline constexpr int64_t kToySamples = 4;
inline constexpr int kToyRate = 1000;

// What happened to the synthesizers of one adapter.
struct ToyRecord {
  int64_t max_batch = 3;   // set by a test
  std::string checkpoint;  // of the last one made
  double lora_scale = -1;
  int64_t steps = 0, looks = 0;    // calls of step() and finished()
  std::vector<size_t> batches;     // rows of each begin()
  std::vector<std::string> words;  // of all begin(), in order
  std::function<void()> on_step;
};

class ToySynthesizer : public Synthesizer {
 public:
  explicit ToySynthesizer(std::shared_ptr<ToyRecord> record) : record_(std::move(record)) {}

  std::vector<std::string> segments(const std::string& text) const override {
    std::vector<std::string> pieces;
    for (const std::string& piece : split(text, '.')) {
      if (!trim(piece).empty()) pieces.push_back(trim(piece));
    }
    return pieces;
  }
  int64_t max_batch() const override { return record_->max_batch; }

  void begin(std::span<const Prompt> prompts, const DecodeOptions& options) override {
    rows_.clear();
    for (const Prompt& prompt : prompts) {
      rows_.push_back({prompt.text, make_generator(torch::kCPU, prompt.seed), {}});
      record_->words.push_back(prompt.text);
    }
    greedy_ = options.greedy;
    record_->batches.push_back(prompts.size());
  }

  void step() override {
    ++record_->steps;
    if (record_->on_step) record_->on_step();
    for (Row& row : rows_) {
      const auto frame = std::ssize(row.frames);
      if (done(row)) continue;
      row.frames.push_back(
          greedy_ ? torch::tensor({int64_t{row.words[static_cast<size_t>(frame)]}, frame})
                  : torch::randint(0, 100, {2}, row.generator, torch::kInt64));
    }
  }

  torch::Tensor finished() const override {
    ++record_->looks;
    std::vector<int64_t> flags;
    for (const Row& row : rows_) flags.push_back(done(row));
    return torch::tensor(flags).to(torch::kBool);
  }

  std::vector<torch::Tensor> codes() override {
    std::vector<torch::Tensor> all;
    for (const Row& row : rows_) {
      all.push_back(row.frames.empty() ? torch::zeros({0, 2}, torch::kInt64)
                                       : torch::stack(row.frames));
    }
    return all;
  }

  std::vector<Audio> decode(const std::vector<torch::Tensor>& codes, bool after_prompt,
                            const Noise& noise) override {
    float bias = 0;
    for (const auto& [name, values] : noise) {
      if (name != "bias" || values.dim() != 1) throw DataError("no such noise", name);
      bias = values[0].item<float>();
    }
    std::vector<Audio> audio;
    for (size_t i = 0; i < codes.size(); ++i) {
      if (codes[i].dim() != 2 || codes[i].size(1) != 2) throw DataError("wants two codebooks");
      const torch::Tensor values = codes[i].sum(1).to(torch::kFloat32) / 1000 + bias;
      const torch::Tensor wave = values.repeat_interleave(kToySamples).contiguous();
      audio.push_back({{}, kToyRate});
      audio.back().samples.assign(wave.data_ptr<float>(), wave.data_ptr<float>() + wave.numel());
      if (after_prompt && rows_[i].words.find('~') != std::string::npos) {
        audio.back().samples[0] = std::numeric_limits<float>::quiet_NaN();
      }
    }
    return audio;
  }

 private:
  struct Row {
    std::string words;
    torch::Generator generator;
    std::vector<torch::Tensor> frames;
  };
  static bool done(const Row& row) {
    return row.frames.size() >= row.words.size() || row.words[0] == '#';
  }

  std::shared_ptr<ToyRecord> record_;
  std::vector<Row> rows_;
  bool greedy_ = false;
};

class SpeakingToyAdapter : public ToyAdapter {
 public:
  std::unique_ptr<Synthesizer> make_synthesizer(const ModelContext&,
                                                const CheckpointSet& checkpoints,
                                                double lora_scale) const override {
    record->checkpoint = checkpoints.name();
    record->lora_scale = lora_scale;
    return std::make_unique<ToySynthesizer>(record);
  }

  std::shared_ptr<ToyRecord> record = std::make_shared<ToyRecord>();
};

}  // namespace ttsft::test
