// A weighted transducer over bytes as OpenFst stores it, and the cheapest way through it.
//
// OpenFst itself is not linked: its libfst and libsentencepiece both export a variable FLAGS_help,
// of different types, and a process that loads both corrupts its memory; and the lattice that it
// builds for one sentence costs ten times what the search alone does.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ttsft {

class Fst {
 public:
  // A file of type "vector" with standard (tropical) arcs, labels 0 (nothing) to 255, and no
  // circle that reads nothing. DataError
  // names the file and what is wrong with it.
  static Fst from_file(const std::filesystem::path& file);

  // Output of the cheapest path that reads all of `input`; none when no path does. Of equally cheap
  // paths the one that OpenFst's Compose and ShortestPath choose. Thread-safe.
  std::optional<std::string> transduce(std::string_view input) const;

  int64_t states() const { return int64_t(final_.size()); }

 private:
  struct Arc {
    int32_t next;
    float weight;
    uint8_t input, output;  // 0: none
  };
  struct Search;
  bool has_silent_circle() const;

  int32_t start_ = -1;
  std::vector<float> final_;       // infinite where the state is not final
  std::vector<int64_t> arcs_of_;   // arcs of state s: arcs_[arcs_of_[s]] up to arcs_of_[s + 1]
  std::vector<int64_t> labelled_;  // of those, the first with an input label
  std::vector<Arc> arcs_;          // by state, then input label, then as in the file
};

}  // namespace ttsft
