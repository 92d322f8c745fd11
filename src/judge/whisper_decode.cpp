#include "ttsft/judge/whisper_decode.h"

#include <cmath>
#include <limits>
#include <numeric>

#include "ttsft/nn/beam_search.h"

namespace ttsft {
namespace {

constexpr int64_t kLookEvery =
    8; // steps between two looks at a GPU, which wait for it

bool time_to_look(int64_t step, torch::Device device) {
  return device.is_cpu() || step % kLookEvery == kLookEvery - 1;
}

torch::Tensor ids_on(const std::vector<int64_t> &ids, torch::Device device) {
  return torch::tensor(ids, torch::kInt64).to(device);
}

// The prompts of all windows in the cache, and what the model expects behind
// them.
struct Opening {
  KvCache cache;
  torch::Tensor logits;          // [B, V]
  std::vector<double> no_speech; // of each window
};

Opening open(Whisper &whisper, const WhisperHeard &heard,
             const torch::Tensor &prompts, int64_t no_speech) {
  WhisperDecoder &decoder = whisper->decoder;
  Opening opening{decoder->make_cache(prompts.size(0)), {}, {}};
  const torch::Tensor states =
      decoder(prompts, opening.cache, heard); // [B, P, D]
  opening.logits = decoder->logits(states.select(1, prompts.size(1) - 1));
  opening.no_speech.assign(static_cast<size_t>(prompts.size(0)),
                           std::numeric_limits<double>::quiet_NaN());
  if (no_speech < 0)
    return opening;
  const torch::Tensor silent = decoder->logits(states.select(1, 0))
                                   .softmax(-1)
                                   .select(1, no_speech)
                                   .to(torch::kCPU, torch::kFloat64);
  for (size_t i = 0; i < opening.no_speech.size(); ++i)
    opening.no_speech[i] = silent[static_cast<int64_t>(i)].item<double>();
  return opening;
}

torch::Tensor next_logits(Whisper &whisper, const torch::Tensor &tokens,
                          KvCache &cache, const WhisperHeard &heard) {
  const torch::Tensor states =
      whisper->decoder(tokens.unsqueeze(1), cache, heard);
  return whisper->decoder->logits(states.select(1, 0)); // [R, V]
}

// What has been said, in the form that rules read.
TokenHistory history_of(const torch::Tensor &tokens, int64_t count) {
  return {.seen = {},
          .tokens = tokens,
          .count = torch::full({tokens.size(0)}, count, tokens.options())};
}

class Greedy {
public:
  Greedy(Whisper &whisper, const WhisperHeard &heard,
         const WhisperSearch &search, Opening opening)
      : whisper_(whisper), search_(search), heard_(heard),
        cache_(std::move(opening.cache)), logits_(std::move(opening.logits)),
        rows_(opening.no_speech.size()), texts_(opening.no_speech.size()) {
    std::iota(rows_.begin(), rows_.end(), 0);
    for (size_t i = 0; i < texts_.size(); ++i)
      texts_[i].no_speech = opening.no_speech[i];
    const auto whole =
        torch::TensorOptions().dtype(torch::kInt64).device(logits_.device());
    tokens_ =
        torch::full({std::ssize(rows_), search.most_tokens}, search.end, whole);
    log_probabilities_ =
        torch::zeros(tokens_.sizes(), whole.dtype(torch::kFloat32));
    ended_ = torch::zeros({std::ssize(rows_)}, whole.dtype(torch::kBool));
  }

  std::vector<WhisperText> run() {
    for (int64_t step = 0; step < search_.most_tokens; ++step) {
      const torch::Tensor next = choose(step);
      if (step + 1 == search_.most_tokens)
        break;
      torch::Tensor on = next;
      if (time_to_look(step, next.device())) {
        const torch::Tensor running =
            torch::nonzero(~ended_).squeeze(1); // waits for the device
        if (running.size(0) == 0)
          break;
        if (2 * running.size(0) <= next.size(0)) {
          finish();
          keep(running);
          on = next.index_select(0, running);
        }
      }
      logits_ = next_logits(whisper_, on, cache_, heard_);
    }
    finish();
    return std::move(texts_);
  }

private:
  torch::Tensor choose(int64_t step) {
    const torch::Tensor scores =
        apply_rules(step == 0 ? search_.rules.first : search_.rules.later,
                    logits_, history_of(tokens_, step));
    const torch::Tensor next =
        scores.argmax(-1).masked_fill(ended_, search_.end); // [R]
    const torch::Tensor log_probability =
        scores.gather(1, next.unsqueeze(1)).squeeze(1) - scores.logsumexp(1);
    tokens_.select(1, step).copy_(next);
    log_probabilities_.select(1, step).copy_(log_probability);
    ended_ = ended_ | (next == search_.end);
    return next;
  }

  // Takes down what the rows have said so far.
  void finish() {
    const torch::Tensor tokens = tokens_.to(torch::kCPU);
    const torch::Tensor log_probabilities = log_probabilities_.to(torch::kCPU);
    for (size_t row = 0; row < rows_.size(); ++row) {
      const auto *ids = tokens[static_cast<int64_t>(row)].data_ptr<int64_t>();
      const auto *values =
          log_probabilities[static_cast<int64_t>(row)].data_ptr<float>();
      const auto said = static_cast<size_t>(
          std::find(ids, ids + search_.most_tokens, search_.end) - ids);
      const size_t scored =
          std::min(said + 1, static_cast<size_t>(search_.most_tokens));
      WhisperText &text = texts_[static_cast<size_t>(rows_[row])];
      text.tokens.assign(ids, ids + said);
      text.log_probabilities.assign(values, values + scored);
    }
  }

  void keep(const torch::Tensor &running) {
    const torch::Tensor host = running.to(torch::kCPU);
    const std::vector<int64_t> rows(host.data_ptr<int64_t>(),
                                    host.data_ptr<int64_t>() + host.size(0));
    std::vector<int64_t> left;
    for (const int64_t row : rows)
      left.push_back(rows_[static_cast<size_t>(row)]);
    rows_ = std::move(left);
    cache_.keep(rows);
    for (auto &[k, v] : heard_) {
      k = k.index_select(0, running);
      v = v.index_select(0, running);
    }
    for (torch::Tensor *state : {&tokens_, &log_probabilities_, &ended_})
      *state = state->index_select(0, running);
  }

  Whisper &whisper_;
  const WhisperSearch &search_;
  WhisperHeard heard_;
  KvCache cache_;
  torch::Tensor logits_;
  std::vector<int64_t> rows_; // which window each row writes down
  std::vector<WhisperText> texts_;
  torch::Tensor tokens_, log_probabilities_; // [R, most]
  torch::Tensor ended_;                      // [R], bool
};

// Log-probabilities of a text and of the end token behind it, all at once.
std::vector<float> score(Whisper &whisper, const WhisperHeard &heard,
                         const torch::Tensor &prompt,
                         const std::vector<int64_t> &said,
                         const WhisperSearch &search) {
  std::vector<int64_t> expected = said;
  if (std::ssize(said) < search.most_tokens)
    expected.push_back(search.end);
  const torch::Tensor targets = ids_on(expected, prompt.device());
  const torch::Tensor inputs =
      torch::cat({prompt, targets.narrow(0, 0, targets.size(0) - 1)})
          .unsqueeze(0); // [1, T]
  KvCache cache = whisper->decoder->make_cache(1);
  const torch::Tensor states =
      whisper->decoder(inputs, cache, heard)
          .squeeze(0)
          .narrow(0, prompt.size(0) - 1, targets.size(0)); // [n, D]
  const torch::Tensor values = whisper->decoder->logits(states)
                                   .log_softmax(-1)
                                   .gather(1, targets.unsqueeze(1))
                                   .squeeze(1)
                                   .to(torch::kCPU)
                                   .contiguous();
  return {values.data_ptr<float>(), values.data_ptr<float>() + values.size(0)};
}

std::vector<WhisperText> search_beams(Whisper &whisper,
                                      const WhisperHeard &heard,
                                      const torch::Tensor &prompts,
                                      const WhisperSearch &options,
                                      Opening opening) {
  const int64_t windows = prompts.size(0), beams = options.beams,
                shared = prompts.size(1);
  BeamSearch search(
      {.beams = beams, .end_token = options.end, .length_penalty = 1.0},
      windows, prompts.device());
  std::vector<int64_t> rows;
  for (int64_t row = 0; row < windows * beams; ++row)
    rows.push_back(row / beams);
  opening.cache.keep(rows);
  torch::Tensor logits = opening.logits.repeat_interleave(beams, 0);
  torch::Tensor tokens = torch::full({windows * beams, options.most_tokens},
                                     options.end, prompts.options());
  for (int64_t step = 0; step < options.most_tokens; ++step) {
    // Rules come behind the softmax, as transformers has it with beams.
    const torch::Tensor scores =
        apply_rules(step == 0 ? options.rules.first : options.rules.later,
                    logits.log_softmax(-1), history_of(tokens, step));
    const BeamSearch::Step on = search.advance(scores);
    if (step + 1 == options.most_tokens)
      break;
    if (time_to_look(step, prompts.device()) &&
        search.finished().all().item<bool>())
      break;
    tokens = tokens.index_select(0, on.rows);
    tokens.select(1, step).copy_(on.tokens);
    opening.cache.permute(on.rows, shared);
    logits = next_logits(whisper, on.tokens, opening.cache, heard);
  }
  const std::vector<torch::Tensor> best = search.best();
  std::vector<WhisperText> texts(best.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    WhisperHeard own;
    for (const auto &[k, v] : heard)
      own.emplace_back(k.narrow(0, row, 1), v.narrow(0, row, 1));
    const auto *ids = best[i].data_ptr<int64_t>();
    texts[i].tokens.assign(ids, ids + best[i].size(0));
    texts[i].log_probabilities =
        score(whisper, own, prompts[row], texts[i].tokens, options);
    texts[i].no_speech = opening.no_speech[i];
  }
  return texts;
}

} // namespace

double WhisperText::mean_log_probability() const {
  if (log_probabilities.empty())
    return 0;
  double sum = 0;
  for (const float value : log_probabilities)
    sum += value;
  return sum / static_cast<double>(log_probabilities.size());
}

std::vector<WhisperText> decode_windows(Whisper &whisper,
                                        const WhisperHeard &heard,
                                        const torch::Tensor &prompts,
                                        const WhisperSearch &search) {
  c10::InferenceMode guard;
  if (search.most_tokens < 1 || search.most_tokens + prompts.size(1) >
                                    whisper->options().decoder_positions)
    throw std::logic_error(
        "decode_windows: more tokens than the decoder has positions");
  Opening opening = open(whisper, heard, prompts, search.no_speech);
  if (search.beams > 1)
    return search_beams(whisper, heard, prompts, search, std::move(opening));
  return Greedy(whisper, heard, search, std::move(opening)).run();
}

std::vector<int64_t>
likeliest_languages(Whisper &whisper, const WhisperHeard &heard, int64_t start,
                    const std::vector<int64_t> &languages) {
  c10::InferenceMode guard;
  const torch::Tensor first = heard.at(0).first; // [B, H, S, d]
  const torch::Tensor known = ids_on(languages, first.device());
  const torch::Tensor prompts =
      torch::full({first.size(0), 1}, start, known.options());
  const Opening opening = open(whisper, heard, prompts, -1);
  const torch::Tensor best =
      known.index_select(0, opening.logits.index_select(1, known).argmax(1))
          .to(torch::kCPU);
  return {best.data_ptr<int64_t>(), best.data_ptr<int64_t>() + best.size(0)};
}

} // namespace ttsft
