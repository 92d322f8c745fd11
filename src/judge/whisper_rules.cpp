#include "ttsft/judge/whisper_rules.h"

#include <limits>

namespace ttsft {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

class TimestampRule : public TokenRule {
public:
  TimestampRule(int64_t first, int64_t end) : first_(first), end_(end) {}

  torch::Tensor apply(const torch::Tensor &given,
                      const TokenHistory &history) const override {
    const auto token = [&](int64_t back) {
      const torch::Tensor at = (history.count - back).clamp_min(0).unsqueeze(1);
      return history.tokens.gather(1, at); // [R, 1]
    };
    const torch::Tensor count = history.count.unsqueeze(1);
    const torch::Tensor was_stamp = (token(1) >= first_) & (count >= 1);
    const torch::Tensor before = (token(2) >= first_) | (count < 2);
    const torch::Tensor closes =
        was_stamp & ~before; // an end, which a start must follow
    // None goes back, so the latest is the largest. A start may be where the
    // end was.
    const torch::Tensor earliest =
        history.tokens.amax(1, /*keepdim=*/true) + 1 - closes.to(torch::kInt64);

    const torch::Tensor ids =
        torch::arange(given.size(1), history.tokens.options()); // [V]
    const torch::Tensor stamps = ids >= first_;
    torch::Tensor scores =
        given.masked_fill((stamps & ((was_stamp & before) | (ids < earliest))) |
                              ((ids < end_) & closes),
                          kNever);
    const int64_t text = first_, stamp = scores.size(1) - first_;
    const torch::Tensor likelier =
        scores.narrow(1, text, stamp).logsumexp(1, true) >
        scores.narrow(1, 0, text).amax(1, true);
    return scores.masked_fill_(likelier & ~stamps, kNever);
  }

private:
  int64_t first_, end_;
};

} // namespace

std::shared_ptr<const TokenRule> timestamp_rule(int64_t first, int64_t end) {
  return std::make_shared<TimestampRule>(first, end);
}

WhisperRules whisper_rules(const WhisperFolder &folder,
                           const WhisperTokens &tokens, bool timestamps,
                           torch::Device device) {
  const int64_t stamps = tokens.first_timestamp();
  torch::Tensor allowed = torch::ones({tokens.vocabulary()}, torch::kBool);
  const auto forbid = [](torch::Tensor &mask, int64_t from, int64_t to) {
    if (from < to)
      mask.narrow(0, from, to - from).fill_(false);
  };
  for (const int64_t id : folder.suppressed)
    allowed[id] = false;
  forbid(allowed, tokens.no_timestamps(), stamps);
  if (!timestamps)
    forbid(allowed, stamps, tokens.vocabulary());
  torch::Tensor at_first = allowed.clone();
  for (const int64_t id : folder.suppressed_first)
    at_first[id] = false;
  if (timestamps) {
    forbid(at_first, 0, stamps);
    forbid(at_first, stamps + folder.latest_start + 1, tokens.vocabulary());
  }
  WhisperRules rules;
  rules.first = {allowed_ids(at_first.to(device))};
  rules.later = {allowed_ids(allowed.to(device))};
  if (timestamps)
    rules.later.push_back(timestamp_rule(stamps, tokens.end()));
  return rules;
}

} // namespace ttsft
