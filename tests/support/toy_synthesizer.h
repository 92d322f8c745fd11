// A synthesizer without a network, so that the engine around one can be tested in milliseconds.
//
// "ab. cde" has the segments "ab" and "cde" (cut at full stops). A segment has a frame per
// character and each frame two codes: the character (greedy; else drawn) and, by a frame head, the
// frame's number. A frame sounds as kToySamples samples of its codes' sum / 1000. '#' ends a
// segment at once, '~' sounds as not a number. What was said before is read from the cache, as a
// model's attention does.
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
  int64_t max_batch = 3;  // set by a test
  bool chained = false, whole_text = false;
  std::string checkpoint;  // of the last one made
  double lora_scale = -1;
  int64_t steps = 0;                     // a batch's frames, the ends too
  std::vector<size_t> batches;           // rows of each prefill
  std::vector<std::string> words;        // of all prompts, in order
  std::vector<size_t> earlier;           // segments that each prompt was told of
  std::vector<size_t> decoded;           // rows of each call of the acoustic part
  torch::Dtype dtype = torch::kFloat32;  // that its inputs are said to have
  std::function<void()> on_step, on_made;
  std::function<void()> on_acoustic;  // by every call of the acoustic part, streams too
};

class ToyLm : public SpeechLm, public FrameHead {
 public:
  static constexpr int64_t kEnd = 0, kVocabulary = 128;
  explicit ToyLm(std::shared_ptr<ToyRecord> record) : record_(std::move(record)) {}

  // [T, 2]: each character, and how many there are.
  static torch::Tensor inputs(const std::string& words) {
    torch::Tensor x = torch::zeros({std::ssize(words), 2});
    for (size_t i = 0; i < words.size(); ++i) x[static_cast<int64_t>(i)][0] = words[i];
    x.select(1, 1).fill_(static_cast<double>(words.size()));
    return x;
  }

  KvCache make_cache(int64_t rows, int64_t capacity) const override {
    record_->batches.push_back(static_cast<size_t>(rows));
    return KvCache(1, rows, 1, capacity, 1, torch::kFloat32);
  }
  // -> the number of the frame to come and the character that is due, [R, T, 2]
  torch::Tensor forward(const torch::Tensor& x, KvCache& cache) override {
    const KvCache::Step step = cache.open(x.size(1));
    const torch::Tensor column = x.unsqueeze(1);  // [R, 1, T, 2]
    const bool prefill = cache.length() == 0;
    const auto [characters, counts] =
        cache.write(step, 0, column.narrow(3, 0, 1), column.narrow(3, 1, 1));
    const torch::Tensor length = counts.select(2, 0).flatten();  // [R]
    const torch::Tensor number = prefill ? torch::zeros_like(length) : x.select(1, 0).select(1, 1);
    const torch::Tensor at = torch::minimum(number, length - 1).to(torch::kInt64);
    torch::Tensor due = characters.select(1, 0).select(2, 0).gather(1, at.unsqueeze(1)).squeeze(1);
    due = torch::where((number >= length) | (due == static_cast<double>('#')), kEnd, due);
    cache.advance(x.size(1));
    return torch::stack({number, due}, 1).unsqueeze(1).expand({-1, x.size(1), -1});
  }
  torch::Tensor norm(const torch::Tensor& hidden) override { return hidden; }
  // The character that is due is a little likelier than the others; the end comes when it is due.
  torch::Tensor logits(const torch::Tensor& state) override {
    const torch::Tensor due = state.select(1, 1).to(torch::kInt64).unsqueeze(1);
    torch::Tensor scores = torch::zeros({state.size(0), kVocabulary}).scatter_(1, due, 1.0);
    const torch::Tensor ends = due == kEnd;
    const torch::Tensor is_end = torch::arange(kVocabulary) == kEnd;
    return scores.masked_fill(ends != is_end, -std::numeric_limits<float>::infinity());
  }
  torch::Tensor embed(const torch::Tensor& frame, const torch::Tensor& number) override {
    return torch::stack({frame.select(1, 0), number + 1}, 1).to(torch::kFloat32);
  }
  FrameHead* head() override { return this; }
  torch::Tensor finish(const torch::Tensor& state, const torch::Tensor& first,
                       const NoiseSource&) override {
    ++record_->steps;
    if (record_->on_step) record_->on_step();
    return torch::stack({first, state.select(1, 0).to(torch::kInt64)}, 1);
  }

 private:
  std::shared_ptr<ToyRecord> record_;
};

inline torch::Tensor toy_wave(const torch::Tensor& codes) {
  torch::Tensor values = codes.sum(1).to(torch::kFloat32) / 1000;
  values = values.masked_fill(codes.select(1, 0) == static_cast<int64_t>('~'),
                              std::numeric_limits<float>::quiet_NaN());
  return values.repeat_interleave(kToySamples).contiguous();
}

// Holds the latest frame back until the next one is there.
class ToyStream : public AcousticStream {
 public:
  explicit ToyStream(std::shared_ptr<ToyRecord> record) : record_(std::move(record)) {}
  torch::Tensor push(const torch::Tensor& codes) override {
    if (record_->on_acoustic) record_->on_acoustic();
    const torch::Tensor all = held_.defined() ? torch::cat({held_, codes}) : codes;
    held_ = all.narrow(0, all.size(0) - 1, 1);
    return toy_wave(all.narrow(0, 0, all.size(0) - 1));
  }
  torch::Tensor flush() override {
    if (record_->on_acoustic) record_->on_acoustic();
    return held_.defined() ? toy_wave(held_) : torch::empty({0});
  }

 private:
  std::shared_ptr<ToyRecord> record_;
  torch::Tensor held_;
};

class ToyAcoustic : public AcousticDecoder {
 public:
  explicit ToyAcoustic(std::shared_ptr<ToyRecord> record) : record_(std::move(record)) {}
  int sample_rate() const override { return kToyRate; }
  std::vector<torch::Tensor> decode(std::span<const AcousticRow> rows) override {
    record_->decoded.push_back(rows.size());
    if (record_->on_acoustic) record_->on_acoustic();
    std::vector<torch::Tensor> waves;
    for (const AcousticRow& row : rows) {
      float bias = 0;
      for (const auto& [name, values] : row.noise ? *row.noise : Noise{}) {
        if (name != "bias" || values.dim() != 1) throw DataError("no such noise", name);
        bias = values[0].item<float>();
      }
      if (row.codes.dim() != 2 || row.codes.size(1) != 2) throw DataError("wants two codebooks");
      waves.push_back(toy_wave(row.codes) + bias);
    }
    return waves;
  }
  std::unique_ptr<AcousticStream> stream(const AcousticRow&) override {
    return std::make_unique<ToyStream>(record_);
  }

 private:
  std::shared_ptr<ToyRecord> record_;
};

class ToySynthesizer : public Synthesizer {
 public:
  explicit ToySynthesizer(std::shared_ptr<ToyRecord> record)
      : record_(std::move(record)), lm_(record_), acoustic_(record_) {}

  std::vector<std::string> segments(const std::string& text) const override {
    std::vector<std::string> pieces;
    for (const std::string& piece : split(text, '.')) {
      if (!trim(piece).empty()) pieces.push_back(trim(piece));
    }
    return pieces;
  }
  Speaking speaking() const override { return {record_->chained, record_->whole_text, 0.2}; }
  int64_t max_batch() const override { return record_->max_batch; }
  void load() override {}
  SpeechLm& language_model() override { return lm_; }
  torch::TensorOptions tensor_options() const override { return record_->dtype; }
  DecodingPlan plan(const DecodeOptions& options) override {
    DecodingPlan plan;
    plan.sampling.greedy = options.greedy;
    plan.end = {ToyLm::kEnd};
    plan.max_frames = options.max_frames;
    return plan;
  }
  RowPrompt prompt(const std::string& segment, uint64_t seed,
                   std::span<const SpokenSegment> earlier) override {
    record_->words.push_back(segment);
    record_->earlier.push_back(earlier.size());
    RowPrompt prompt;
    prompt.inputs = ToyLm::inputs(segment);
    prompt.seed = seed;
    return prompt;
  }
  AcousticDecoder& acoustic() override { return acoustic_; }
  // '_' is said and not heard.
  torch::Tensor heard(const torch::Tensor& codes) const override {
    if (codes.numel() == 0) return codes;
    return codes.index({codes.select(1, 0) != static_cast<int64_t>('_')});
  }

 private:
  std::shared_ptr<ToyRecord> record_;
  ToyLm lm_;
  ToyAcoustic acoustic_;
};

class SpeakingToyAdapter : public ToyAdapter {
 public:
  std::unique_ptr<Synthesizer> make_synthesizer(const ModelContext&,
                                                const CheckpointSet& checkpoints,
                                                double lora_scale) const override {
    record->checkpoint = checkpoints.name();
    record->lora_scale = lora_scale;
    if (record->on_made) record->on_made();
    return std::make_unique<ToySynthesizer>(record);
  }

  std::shared_ptr<ToyRecord> record = std::make_shared<ToyRecord>();
};

}  // namespace ttsft::test
