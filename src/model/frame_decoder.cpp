#include "ttsft/model/frame_decoder.h"

#include <algorithm>
#include <stdexcept>

namespace ttsft {
namespace {

constexpr int64_t kFrames = 256;  // room for frames grows by so many

torch::Tensor ids_on(const std::vector<int64_t>& ids, torch::Device device) {
  return torch::tensor(ids, torch::kInt64).to(device);
}

// Rows of unequal length, filled up behind their end: [R, T, D].
torch::Tensor pad_behind(const std::vector<torch::Tensor>& rows, torch::TensorOptions options) {
  int64_t longest = 0;
  for (const torch::Tensor& row : rows) longest = std::max(longest, row.size(0));
  torch::Tensor padded =
      torch::zeros({std::ssize(rows), longest, rows.front().size(1)}, options);
  for (size_t i = 0; i < rows.size(); ++i)
    padded[static_cast<int64_t>(i)].narrow(0, 0, rows[i].size(0)).copy_(rows[i]);
  return padded;
}

// Both are [B, size, ...]; the shorter one is filled up with zeros.
torch::Tensor join_grown(torch::Tensor a, torch::Tensor b) {
  if (!a.defined()) return b;
  const int64_t size = std::max(a.size(1), b.size(1));
  for (torch::Tensor* x : {&a, &b}) {
    std::vector<int64_t> shape = x->sizes().vec();
    shape[1] = size - x->size(1);
    if (shape[1] > 0) *x = torch::cat({*x, torch::zeros(shape, x->options())}, 1);
  }
  return torch::cat({a, b});
}

torch::Tensor join_rows(const torch::Tensor& a, const torch::Tensor& b) {
  return a.defined() ? torch::cat({a, b}) : b;
}

}  // namespace

FrameDecoder::FrameDecoder(SpeechLm& model, DecodingPlan plan, torch::TensorOptions options,
                           const RecordedDraws* recorded)
    : model_(model), plan_(std::move(plan)), options_(options), recorded_(recorded) {
  const bool guided = plan_.guidance != 0, searched = plan_.beams > 1;
  if (plan_.end.empty()) throw std::logic_error("FrameDecoder: no token ends a row");
  if (searched && (guided || model.head() || plan_.end.size() != 1))
    throw std::logic_error("FrameDecoder: beams go with one end token, no head and no guidance");
  per_text_ = searched ? plan_.beams : guided ? 2 : 1;
  limit_ = std::min(plan_.max_frames, model.most_frames());
  if (recorded_)
    for (const auto& [stream, draws] : *recorded_)
      if (stream.starts_with("token")) limit_ = std::min(limit_, draws.size(0));
  end_ids_ = ids_on(plan_.end, options.device());
  said_ids_ = ids_on(plan_.said, options.device());
}

torch::Tensor FrameDecoder::per_row(const torch::Tensor& per_text) const {
  return per_text_ == 1 ? per_text : per_text.repeat_interleave(per_text_, 0);
}

void FrameDecoder::look(const torch::Tensor& hidden) {
  state_ = model_.norm(hidden);
  logits_ = model_.logits(state_);
}

void FrameDecoder::admit(std::span<const RowPrompt> prompts) {
  const c10::InferenceMode inference;
  if (prompts.empty()) return;
  advance();
  prefill(prompts);
  add_state(prompts);
}

void FrameDecoder::prefill(std::span<const RowPrompt> prompts) {
  std::vector<torch::Tensor> inputs;
  std::vector<int64_t> used, last;
  for (const RowPrompt& prompt : prompts) {
    inputs.push_back(prompt.inputs);
    if (plan_.guidance != 0) inputs.push_back(prompt.unguided);
    prompt_lengths_.push_back(prompt.inputs.size(0));
    steps_.push_back(0);
  }
  const torch::Tensor x = pad_behind(inputs, options_);  // [R, T, D]
  for (size_t row = 0; row < inputs.size(); ++row) {
    used.push_back(inputs[row].size(0));
    last.push_back(static_cast<int64_t>(row) * x.size(1) + used.back() - 1);
  }
  KvCache cache = model_.make_cache(x.size(0), x.size(1) + std::min(limit_, kFrames));
  const torch::Tensor hidden = model_.forward(x, cache);
  cache.reset();  // the forward counted the padding too
  cache.advance(used);
  const torch::Tensor earlier_state = state_, earlier_logits = logits_;
  look(hidden.flatten(0, 1).index_select(0, ids_on(last, options_.device())));
  if (plan_.beams > 1) {  // all beams of a text start alike
    std::vector<int64_t> rows;
    for (int64_t row = 0; row < x.size(0) * per_text_; ++row) rows.push_back(row / per_text_);
    cache.keep(rows);
    state_ = per_row(state_);
    logits_ = per_row(logits_);
  }
  state_ = join_rows(earlier_state, state_);
  logits_ = join_rows(earlier_logits, logits_);
  if (cache_) {
    cache_->join(std::move(cache));
  } else {
    cache_ = std::move(cache);
  }
}

void FrameDecoder::add_state(std::span<const RowPrompt> prompts) {
  const int64_t texts = std::ssize(prompts), rows = texts * per_text_;
  const torch::Device device = options_.device();
  const auto whole = options_.dtype(torch::kInt64), flags = options_.dtype(torch::kBool);
  torch::Tensor seen = torch::zeros({rows, logits_.size(1)}, flags);
  if (!plan_.said.empty()) seen.index_fill_(1, said_ids_, true);
  seen_ = join_rows(seen_, seen);
  tokens_ = join_grown(tokens_, torch::zeros({rows, kFrames}, whole));
  std::vector<uint64_t> seeds;
  std::vector<torch::Tensor> trailing;
  std::vector<int64_t> last, at_least, at_most;
  for (const RowPrompt& prompt : prompts) {
    seeds.push_back(prompt.seed);
    at_least.push_back(prompt.at_least);
    at_most.push_back(std::min(prompt.at_most, limit_));
    if (!prompt.trailing.defined()) continue;
    trailing.push_back(prompt.trailing);
    last.push_back(prompt.trailing.size(0) - 1);
  }
  if (!trailing.empty()) {
    if (std::ssize(trailing) != texts)
      throw std::logic_error("FrameDecoder: some prompts trail something, others do not");
    trailing_ = join_grown(trailing_, pad_behind(trailing, options_));
    last_trailing_ = join_rows(last_trailing_, ids_on(last, device));
  }
  seeds_ = join_rows(seeds_, seed_words(seeds, device));
  number_ = join_rows(number_, torch::zeros({texts}, whole));
  at_least_ = join_rows(at_least_, ids_on(at_least, device));
  at_most_ = join_rows(at_most_, ids_on(at_most, device));
  const torch::Tensor none = at_most_.narrow(0, texts_, texts) <= 0;
  ended_ = join_rows(ended_, none);
  limited_ = join_rows(limited_, none);
  // How many codes a frame has shows with the first one.
  if (codes_.defined())
    codes_ = join_grown(codes_, torch::zeros({texts, kFrames, codes_.size(2)}, whole));
  if (plan_.beams > 1) {
    BeamSearch search({plan_.beams, plan_.end.front(), plan_.length_penalty,
                       !plan_.sampling.greedy},
                      texts, device);
    if (beams_) {
      beams_->join(std::move(search));
    } else {
      beams_ = std::move(search);
    }
  }
  texts_ += texts;
}

void FrameDecoder::advance() {
  if (!latest_frame_.defined()) return;
  torch::Tensor x = model_.embed(latest_frame_, latest_number_);  // [R, D]
  if (trailing_.defined()) {
    const torch::Tensor at = torch::minimum(number_ - 1, last_trailing_).clamp_min(0);
    const torch::Tensor extra =
        trailing_.gather(1, at.view({-1, 1, 1}).expand({-1, 1, trailing_.size(2)})).squeeze(1);
    x = x + per_row(extra);
  }
  latest_frame_ = torch::Tensor();
  look(model_.forward(x.unsqueeze(1), *cache_).squeeze(1));
}

TokenHistory FrameDecoder::history() const {
  return {seen_, tokens_, per_row(number_), per_row(at_least_)};
}

FrameDecoder::Chosen FrameDecoder::search(const torch::Tensor& scores, const NoiseSource& noise) {
  torch::Tensor filtered = scores, uniform;
  if (!plan_.sampling.greedy) {
    SamplingOptions sampling = plan_.sampling;
    sampling.min_keep = 2;  // as Hugging Face keeps for each beam
    filtered = filter_scores(scores, sampling);
    uniform = noise.uniform("beams", {per_text_ * scores.size(1)});
  }
  const BeamSearch::Step next = beams_->advance(filtered, uniform);
  cache_->permute(next.rows, *std::min_element(prompt_lengths_.begin(), prompt_lengths_.end()));
  seen_ = seen_.index_select(0, next.rows);
  tokens_ = tokens_.index_select(0, next.rows);
  return {next.tokens, beams_->finished()};
}

FrameDecoder::Chosen FrameDecoder::choose() {
  const NoiseSource noise(seeds_, number_, recorded_);
  torch::Tensor scores = logits_;
  if (plan_.beams > 1)
    return search(apply_rules(plan_.rules, scores.log_softmax(-1), history()), noise);
  TokenHistory said = history();
  if (plan_.guidance != 0) {
    const torch::Tensor pair = scores.view({texts_, 2, -1});
    const torch::Tensor guided = pair.select(1, 0), unguided = pair.select(1, 1);
    scores = guided + plan_.guidance * (guided - unguided);
    for (torch::Tensor* of_rows : {&said.seen, &said.tokens, &said.count})
      *of_rows = of_rows->view({texts_, 2, -1}).select(1, 0);
    said.count = said.count.squeeze(1);
    said.at_least = at_least_;
  }
  const torch::Tensor chosen =
      choose_tokens(apply_rules(plan_.rules, scores, said), plan_.sampling, plan_.aware, said, noise);
  const torch::Tensor ends = (chosen.unsqueeze(1) == end_ids_).any(1);
  return {per_row(chosen), ends};
}

void FrameDecoder::step() {
  const c10::InferenceMode inference;
  advance();
  if (most_steps() + 1 > tokens_.size(1)) {
    tokens_ = torch::constant_pad_nd(tokens_, {0, kFrames});
    if (codes_.defined()) codes_ = torch::constant_pad_nd(codes_, {0, 0, 0, kFrames});
  }
  const Chosen chosen = choose();
  const torch::Tensor number = per_row(number_);  // [R]
  seen_.scatter_(1, chosen.tokens.unsqueeze(1), true);
  tokens_.scatter_(1, number.unsqueeze(1), chosen.tokens.unsqueeze(1));
  ended_ = ended_ | chosen.ends;
  // A row that has ended goes on with some valid code; nobody reads it.
  const torch::Tensor first = torch::where(per_row(ended_), 0, chosen.tokens);
  if (FrameHead* head = model_.head()) {
    const NoiseSource noise(seeds_, number_, recorded_);
    const torch::Tensor leading =
        torch::arange(0, texts_ * per_text_, per_text_, number_.options());
    latest_frame_ = per_row(
        head->finish(state_.index_select(0, leading), first.index_select(0, leading), noise));
  } else {
    latest_frame_ = first.unsqueeze(1);
  }
  if (!beams_) {
    const torch::Tensor frame = per_text_ == 1
                                    ? latest_frame_
                                    : latest_frame_.view({texts_, per_text_, -1}).select(1, 0);
    if (!codes_.defined())
      codes_ = torch::zeros({texts_, tokens_.size(1), frame.size(1)}, number_.options());
    codes_.scatter_(1, number_.view({-1, 1, 1}).expand({-1, 1, frame.size(1)}),
                    frame.unsqueeze(1));
  }
  latest_number_ = number;
  number_ = number_ + (~ended_).to(torch::kInt64);
  const torch::Tensor full = ~ended_ & (number_ >= at_most_);
  limited_ = limited_ | full;
  ended_ = ended_ | full;
  for (int64_t& steps : steps_) ++steps;
}

int64_t FrameDecoder::most_steps() const {
  return *std::max_element(steps_.begin(), steps_.end());
}

torch::Tensor FrameDecoder::ended() const {
  return ended_;
}

torch::Tensor FrameDecoder::so_far(int64_t row, int64_t first) const {
  const c10::InferenceMode inference;
  if (beams_) throw std::logic_error("FrameDecoder: beams change what was said");
  const int64_t count = codes_.defined() ? number_[row].item<int64_t>() : 0;
  if (count <= first) return torch::empty({0}, torch::kInt64);
  torch::Tensor codes = codes_[row].narrow(0, first, count - first).to(torch::kCPU);
  return model_.head() ? codes.contiguous() : codes.flatten();
}

std::vector<DecodedRow> FrameDecoder::read(const std::vector<int64_t>& rows) const {
  const torch::Tensor limited = limited_.to(torch::kCPU);
  std::vector<torch::Tensor> found;
  if (beams_) found = beams_->best();
  std::vector<DecodedRow> result;
  for (const int64_t row : rows) {
    result.push_back({beams_ ? found.at(static_cast<size_t>(row)) : so_far(row, 0),
                      limited[row].item<bool>()});
    torch::Tensor& codes = result.back().codes;
    if (codes.numel() == 0 && codes_.defined() && model_.head())
      codes = torch::empty({0, codes_.size(2)}, torch::kInt64);
  }
  return result;
}

void FrameDecoder::keep(const std::vector<int64_t>& rows) {
  const torch::Tensor texts = ids_on(rows, options_.device());
  std::vector<int64_t> all, lengths, steps;
  for (const int64_t row : rows) {
    lengths.push_back(prompt_lengths_.at(static_cast<size_t>(row)));
    steps.push_back(steps_.at(static_cast<size_t>(row)));
    for (int64_t i = 0; i < per_text_; ++i) all.push_back(row * per_text_ + i);
  }
  prompt_lengths_ = std::move(lengths);
  steps_ = std::move(steps);
  cache_->keep(all);
  if (beams_) beams_->keep(texts, most_steps());
  const torch::Tensor index = ids_on(all, options_.device());
  for (torch::Tensor* of_rows :
       {&state_, &logits_, &seen_, &tokens_, &latest_frame_, &latest_number_})
    if (of_rows->defined()) *of_rows = of_rows->index_select(0, index);
  for (torch::Tensor* of_texts : {&seeds_, &number_, &ended_, &limited_, &at_least_, &at_most_,
                                  &codes_, &trailing_, &last_trailing_})
    if (of_texts->defined()) *of_texts = of_texts->index_select(0, texts);
  texts_ = std::ssize(rows);
}

std::vector<DecodedRow> FrameDecoder::take(const std::vector<int64_t>& rows) {
  const c10::InferenceMode inference;
  std::vector<DecodedRow> result = read(rows);
  std::vector<int64_t> others;
  for (int64_t row = 0; row < texts_; ++row)
    if (!std::binary_search(rows.begin(), rows.end(), row)) others.push_back(row);
  if (!others.empty()) {
    keep(others);
    return result;
  }
  // Empty: as it was made.
  cache_.reset();
  beams_.reset();
  prompt_lengths_.clear();
  steps_.clear();
  for (torch::Tensor* held :
       {&state_, &logits_, &seen_, &tokens_, &latest_frame_, &latest_number_, &seeds_, &number_,
        &ended_, &limited_, &at_least_, &at_most_, &codes_, &trailing_, &last_trailing_})
    *held = torch::Tensor();
  texts_ = 0;
  return result;
}

}  // namespace ttsft
