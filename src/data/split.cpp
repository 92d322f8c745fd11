#include <algorithm>
#include <iterator>
#include <set>

#include "import.h"
#include "ttsft/core/error.h"
#include "ttsft/core/hash.h"
#include "ttsft/core/strings.h"
#include "ttsft/data/prepared_set.h"

namespace ttsft {

std::vector<std::string> validation_ids(const std::vector<std::string>& ids, double share) {
  if (!(share >= 0 && share < 1)) {
    throw UsageError("data.validation is " + std::to_string(share), {}, "give a share in [0, 1)");
  }
  if (share == 0 || ids.size() < 2) return {};
  std::vector<std::string> chosen;
  for (const std::string& id : ids) {
    if (hash_fraction(id) < share) chosen.push_back(id);
  }
  // In a small set chance alone may leave one side empty.
  const auto by_fraction = [](const std::string& a, const std::string& b) {
    return hash_fraction(a) < hash_fraction(b);
  };
  if (chosen.empty()) chosen = {*std::min_element(ids.begin(), ids.end(), by_fraction)};
  if (chosen.size() == ids.size()) {
    chosen.erase(std::max_element(chosen.begin(), chosen.end(), by_fraction));
  }
  return chosen;
}

std::vector<std::string> validation_ids(const std::vector<std::string>& ids,
                                        const std::filesystem::path& list) {
  const std::set<std::string> known(ids.begin(), ids.end());
  std::set<std::string> listed;
  for (const SourceLine& line : read_lines(list)) {
    if (!line.bad.empty()) throw DataError(line.bad, place(list, line.number));
    const std::string id = trim(line.text);
    if (known.count(id) == 0) {
      const std::string near = nearest(id, ids);
      throw DataError("no utterance is called '" + id + "'", place(list, line.number),
                      near.empty() ? "remove it from data.validation" : "is '" + near + "' meant?");
    }
    listed.insert(id);
  }
  if (listed.empty()) {
    throw DataError("data.validation lists no utterance", list.string(), "0 stands for none");
  }
  std::vector<std::string> chosen;
  std::copy_if(ids.begin(), ids.end(), std::back_inserter(chosen),
               [&](const std::string& id) { return listed.count(id) > 0; });
  return chosen;
}

}  // namespace ttsft
