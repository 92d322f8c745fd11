#include "by_clip.h"

#include <cmath>
#include <limits>

namespace ttsft {

std::map<std::string, double> influences(const LossTotals& whole, const ClipLosses& clips) {
  std::map<std::string, double> moved;
  for (const auto& [id, clip] : clips) {
    double& own = moved[id];
    for (const auto& [name, term] : clip.terms) {
      const TermTotals& all = whole.terms.at(name);
      if (all.tokens > 0) own += all.weight * (term.sum - all.mean() * term.tokens) / all.tokens;
    }
  }
  return moved;
}

double standard_error(const std::map<std::string, double>& influences) {
  if (influences.size() < 2) return std::numeric_limits<double>::quiet_NaN();
  double squares = 0;
  for (const auto& [id, value] : influences) squares += value * value;
  const auto n = static_cast<double>(influences.size());
  return std::sqrt(squares * n / (n - 1));
}

std::map<std::string, double> difference(const std::map<std::string, double>& a,
                                         const std::map<std::string, double>& b) {
  std::map<std::string, double> both;
  for (const auto& [id, value] : a) both[id] = value - b.at(id);
  return both;
}

std::map<std::string, LossTotals> by_speaker(const ClipLosses& clips,
                                             const std::map<std::string, std::string>& speakers) {
  std::map<std::string, LossTotals> sums;
  for (const auto& [id, clip] : clips) {
    for (const auto& [name, term] : clip.terms) {
      TermTotals& sum = sums[speakers.at(id)].terms[name];
      sum.weight = term.weight;
      sum.tokens += term.tokens;
      sum.sum += term.sum;
    }
  }
  return sums;
}

}  // namespace ttsft
