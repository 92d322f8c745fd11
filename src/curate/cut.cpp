#include "cut.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace ttsft {
namespace {

constexpr double kLeastPause = 0.2;    // seconds: where a cut is sure to be in no word
constexpr double kLongestPause = 1.0;  // inside a clip
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Costs, in what a pause of one second too much inside a clip costs.
constexpr double kJoinPause = 0.3;       // a pause inside a clip that would part it
constexpr double kShortPause = 0.5;      // a cut at a pause shorter than wanted, at least
constexpr double kShorterPause = 2.0;    // more of it, the shorter
constexpr double kInsideSentence = 0.25;  // a cut where no sentence ends
constexpr double kUnfit = 10;            // a clip that is lost, and each second of it

bool alike(const Atom& a, const Atom& b, double same_voice) {
  if (a.speaker != b.speaker) return false;
  if (a.voice.empty() || b.voice.empty()) return true;
  return std::inner_product(a.voice.begin(), a.voice.end(), b.voice.begin(), 0.0) >= same_voice;
}

class Planner {
 public:
  Planner(const std::vector<Atom>& atoms, const CutOptions& options, double same_voice)
      : atoms_(atoms), options_(options), same_voice_(same_voice) {
    sentences_ = std::any_of(atoms.begin(), atoms.end(), [](const Atom& atom) {
      return !atom.text.empty() && atom.ends_sentence;
    });
  }

  // The first atoms of the clips.
  std::vector<size_t> run() const {
    const size_t count = atoms_.size();
    std::vector<double> best(count + 1, kInfinity);  // of the atoms before
    std::vector<size_t> from(count + 1, 0);
    best[0] = 0;
    for (size_t end = 1; end <= count; ++end) {
      double joined = 0;
      for (size_t first = end; first-- > 0;) {
        if (first + 1 < end) joined += join_cost(first);
        if (!std::isfinite(joined)) break;
        const double cost = best[first] + break_cost(first) + joined + clip_cost(first, end);
        if (cost < best[end]) {
          best[end] = cost;
          from[end] = first;
        }
        if (length(first, end) > options_.max_seconds && !must_join(first)) break;
      }
    }
    std::vector<size_t> firsts;
    for (size_t end = count; end > 0; end = from[end]) firsts.push_back(from[end]);
    std::reverse(firsts.begin(), firsts.end());
    return firsts;
  }

  double length(size_t first, size_t last) const {
    return atoms_[last - 1].end - atoms_[first].begin + 2 * options_.margin;
  }

 private:
  double gap(size_t before) const { return atoms_[before + 1].begin - atoms_[before].end; }

  bool may_join(size_t before) const {
    const Atom &a = atoms_[before], &b = atoms_[before + 1];
    return a.problem.empty() && b.problem.empty() && alike(a, b, same_voice_) &&
           gap(before) <= kLongestPause;
  }
  // Whether the atom goes on from the one before without a pause.
  bool must_join(size_t atom) const {
    return atom > 0 && gap(atom - 1) < kLeastPause && may_join(atom - 1);
  }

  double join_cost(size_t before) const {
    if (!may_join(before)) return kInfinity;
    const double pause = gap(before);
    return pause >= options_.pause ? kJoinPause + pause - options_.pause : 0;
  }

  double break_cost(size_t atom) const {  // before it
    if (atom == 0) return 0;
    if (must_join(atom)) return kInfinity;
    if (!may_join(atom - 1)) return 0;
    const double pause = gap(atom - 1);
    double cost = 0;
    if (pause < options_.pause) cost += kShortPause + kShorterPause * (1 - pause / options_.pause);
    if (sentences_ && !atoms_[atom - 1].ends_sentence) cost += kInsideSentence;
    return cost;
  }

  double clip_cost(size_t first, size_t last) const {
    if (!atoms_[first].problem.empty()) return 0;
    const double seconds = length(first, last);
    const bool fits = seconds >= options_.min_seconds && seconds <= options_.max_seconds;
    return fits ? 0 : kUnfit + kUnfit * seconds;
  }

  const std::vector<Atom>& atoms_;
  const CutOptions& options_;
  double same_voice_;
  bool sentences_ = false;
};

}  // namespace

std::vector<Atom> atoms_of(const std::vector<SpeechSpan>& speech) {
  std::vector<Atom> atoms;
  for (const SpeechSpan& span : speech) {
    Atom atom;
    atom.begin = span.begin;
    atom.end = span.end;
    atoms.push_back(std::move(atom));
  }
  return atoms;
}

std::vector<Cut> plan_cuts(const std::vector<Atom>& atoms, double seconds,
                           const CutOptions& options, double same_voice) {
  const Planner planner(atoms, options, same_voice);
  std::vector<size_t> bounds = planner.run();
  bounds.push_back(atoms.size());
  std::vector<Cut> cuts;
  for (size_t i = 0; i + 1 < bounds.size(); ++i) {
    Cut cut;
    cut.first = bounds[i];
    cut.last = bounds[i + 1];
    const Atom &first = atoms[cut.first], &last = atoms[cut.last - 1];
    cut.speech_begin = first.begin;
    cut.speech_end = last.end;
    // Half of the pause at most: the other half is the neighbour's.
    const double before = cut.first == 0 ? 2 * first.begin : first.begin - atoms[cut.first - 1].end;
    const double after =
        cut.last == atoms.size() ? 2 * (seconds - last.end) : atoms[cut.last].begin - last.end;
    cut.begin = first.begin - std::clamp(before / 2, 0.0, options.margin);
    cut.end = last.end + std::clamp(after / 2, 0.0, options.margin);
    cut.problem = first.problem;
    cut.message = first.message;
    cut.speaker = first.speaker;
    for (size_t atom = cut.first; atom < cut.last; ++atom) {
      if (atoms[atom].text.empty()) continue;
      if (!cut.text.empty()) cut.text += ' ';
      cut.text += atoms[atom].text;
    }
    const double length = planner.length(cut.first, cut.last);
    if (cut.problem.empty() && length < options.min_seconds) {
      cut.problem = "short";
      cut.message = "shorter than a clip, between long pauses or other speech";
    } else if (cut.problem.empty() && length > options.max_seconds) {
      cut.problem = "long";
      cut.message = "longer than a clip, and no pause to cut it at";
    }
    cuts.push_back(std::move(cut));
  }
  return cuts;
}

}  // namespace ttsft
