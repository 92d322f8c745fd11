#include "ttsft/model/text_checks.h"

#include <algorithm>

#include "ttsft/audio/guards.h"
#include "ttsft/core/error.h"
#include "ttsft/core/log.h"

namespace ttsft {
namespace {

constexpr double kMostUnknown = 0.05;
constexpr double kNotSpoken = 0.5;

std::string length_text(int64_t tokens, int64_t possible) {
  return std::to_string(tokens) + " tokens, " + std::to_string(possible) + " are possible";
}

}  // namespace

void check_transcript(int64_t tokens, double unknown_share, const TextLimits& limits,
                      const std::string& where) {
  if (tokens > limits.tokens)
    throw DataError("the text has " + length_text(tokens, limits.tokens), where,
                    "cut the clip at a sentence end");
  if (unknown_share > kMostUnknown)
    throw DataError(std::to_string(static_cast<int>(100 * unknown_share + 0.5)) +
                        " % of the text's tokens are " + limits.unknown_token +
                        ": the tokenizer does not know its letters",
                    where, limits.unknown_remedy);
}

void check_spoken(const std::string& piece, double unknown_share, const TextLimits& limits,
                  const std::map<std::string, std::string>& guards) {
  constexpr const char* kGuard = "text_unknown";
  const GuardAction action = guard_policy(guards).action(kGuard);
  if (!(unknown_share > 0) || action == GuardAction::kOff) return;
  const std::string what =
      std::to_string(std::max(1, static_cast<int>(100 * unknown_share + 0.5))) +
      " % of the text's tokens are " + limits.unknown_token +
      ": the tokenizer does not know its letters";
  if (action == GuardAction::kRefuse || unknown_share > kNotSpoken)
    throw UsageError(what, "--text", limits.unknown_remedy);
  log_warning(kGuard, ": ", piece.substr(0, piece.find(' ', 40)), ": ", what);
}

void check_piece(int64_t tokens, int64_t possible, const std::string& key) {
  if (tokens > possible)
    throw UsageError("a piece of text has " + length_text(tokens, possible), "--text",
                     "lower " + key);
}

}  // namespace ttsft
