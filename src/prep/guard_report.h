// What the guards said about a set: the first lines at once, a count per guard at the end.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ttsft/audio/guards.h"
#include "ttsft/data/utterance.h"
#include "ttsft/model/info.h"

namespace ttsft {

class GuardReport {
 public:
  explicit GuardReport(const std::map<std::string, std::string>& guards);  // data.guards

  const GuardPolicy& policy() const { return policy_; }

  void warn(const Utterance& utterance, const Finding& finding);
  void refuse(const RejectedRow& row);
  void resample(int from, int to);  // counts a clip of this rate

  // Guards on the set. DataError when the run file wants them to refuse.
  void check_license(const ModelInfo& info);
  // Says it loudly where more than a tenth of the set was refused.
  void check_refused(size_t refused, size_t kept) const;
  void check_count(size_t usable);

  // One line per guard, and one per source rate against the model's three rates.
  void log_summary(const Rates& rates) const;

  nlohmann::ordered_json counts() const;     // {guard: {"warned": n, "refused": n}}
  nlohmann::ordered_json resampled() const;  // {"16000": n}
  const std::map<int, int64_t>& rates() const { return rates_; }

  // "audio_unreadable 3, text_empty 2 (first: metadata.csv line 4: no text)"
  std::string top_reasons() const;

 private:
  struct Count {
    int64_t warned = 0, refused = 0;
  };
  void set_guard(const std::string& guard, const std::string& message, const std::string& remedy);

  GuardPolicy policy_;
  std::map<std::string, Count> counts_;
  std::map<int, int64_t> rates_;
  std::string first_refusal_;
};

}  // namespace ttsft
