#include "src/prep/guard_report.h"

#include <algorithm>

#include "ttsft/core/error.h"
#include "ttsft/core/log.h"

namespace ttsft {
namespace {

constexpr int64_t kLinesPerGuard = 3;
constexpr size_t kFewClips = 256;  // below it, runs memorise the set instead of learning the voice
constexpr const char* kResampling = "resampling";
constexpr const char* kFewClipsGuard = "few_clips";
constexpr const char* kLicenseGuard = "license";

std::string clips(int64_t n) {
  return std::to_string(n) + (n == 1 ? " clip" : " clips");
}

std::string hertz(int rate) {
  return rate > 0 ? std::to_string(rate) + " Hz" : "none";
}

}  // namespace

GuardReport::GuardReport(const std::map<std::string, std::string>& guards)
    : policy_(guard_policy(guards)) {}

void GuardReport::warn(const Utterance& utterance, const Finding& finding) {
  const int64_t nth = ++counts_[finding.guard].warned;
  if (finding.guard == kResampling || nth > kLinesPerGuard) return;  // the summary says it
  log_warning(finding.guard, ": ", utterance.id, " (", utterance.where, "): ", finding.message);
}

void GuardReport::refuse(const RejectedRow& row) {
  if (first_refusal_.empty()) first_refusal_ = row.where + ": " + row.reason;
  if (++counts_[row.guard].refused > kLinesPerGuard) return;
  log_warning("refused by ", row.guard, ": ", row.id, " (", row.where, "): ", row.reason);
}

void GuardReport::resample(int from, int to) {
  if (from != to) ++rates_[from];
}

void GuardReport::set_guard(const std::string& guard, const std::string& message,
                            const std::string& remedy) {
  switch (policy_.action(guard)) {
    case GuardAction::kOff:
      return;
    case GuardAction::kWarn:
      counts_[guard].warned = 1;
      log_warning(guard, ": ", message, "; ", remedy);
      return;
    case GuardAction::kRefuse:
      throw DataError(message, "data.guards." + guard + " is refuse", remedy);
  }
}

void GuardReport::check_license(const ModelInfo& info) {
  if (info.license.commercial) return;
  set_guard(kLicenseGuard,
            "the weights of " + info.name + " are under " + info.license.weights +
                ", which forbids commercial use" +
                (info.license.note.empty() ? "" : " (" + info.license.note + ")"),
            "choose another model for a product");
}

void GuardReport::check_count(size_t usable) {
  if (usable == 0 || usable >= kFewClips || counts_.count(kFewClipsGuard) > 0) return;
  set_guard(kFewClipsGuard,
            "only " + clips(static_cast<int64_t>(usable)) + ", fewer than " +
                std::to_string(kFewClips) + ": a run soon memorises them",
            "record more, or train few steps and choose the checkpoint by eval");
}

void GuardReport::check_refused(size_t refused, size_t kept) const {
  if (kept == 0 || 10 * refused <= refused + kept) return;
  log_warning(refused, " OF ", refused + kept, " ROWS WERE REFUSED: ", top_reasons(),
              "; each reason is in rejected.jsonl");
}

void GuardReport::log_summary(const Rates& rates) const {
  for (const auto& [guard, count] : counts_) {
    if (count.refused > 0) log_warning(guard, ": ", clips(count.refused), " refused");
    if (count.warned > kLinesPerGuard && guard != kResampling) {
      log_warning(guard, ": ", clips(count.warned), " in all");
    }
  }
  if (policy_.action(kResampling) == GuardAction::kOff) return;
  for (const auto& [from, count] : rates_) {
    log_warning("resampling: ", clips(count), " of ", hertz(from),
                " resampled (the model's encoder takes ", hertz(rates.encoder_in),
                ", its speaker encoder ", hertz(rates.speaker_encoder), ", its codec gives ",
                hertz(rates.codec_out), ")");
  }
}

nlohmann::ordered_json GuardReport::counts() const {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [guard, count] : counts_) {
    json[guard] = {{"warned", count.warned}, {"refused", count.refused}};
  }
  return json;
}

nlohmann::ordered_json GuardReport::resampled() const {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [from, count] : rates_) json[std::to_string(from)] = count;
  return json;
}

std::string GuardReport::top_reasons() const {
  std::vector<std::pair<int64_t, std::string>> reasons;
  for (const auto& [guard, count] : counts_) {
    if (count.refused > 0) reasons.emplace_back(-count.refused, guard);
  }
  std::sort(reasons.begin(), reasons.end());
  std::string text;
  for (size_t i = 0; i < std::min<size_t>(reasons.size(), 3); ++i) {
    text += (i == 0 ? "" : ", ") + reasons[i].second + " " + std::to_string(-reasons[i].first);
  }
  return text + (first_refusal_.empty() ? "" : " (first: " + first_refusal_ + ")");
}

}  // namespace ttsft
