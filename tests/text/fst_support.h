// Small transducers in OpenFst's file format, for tests.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

namespace ttsft::test {

struct FstArc {
  int32_t input, output;
  float weight;
  int32_t next;
};

struct FstState {
  std::vector<FstArc> arcs;
  float final_weight = std::numeric_limits<float>::infinity();
};

struct FstFile {
  std::vector<FstState> states;
  std::string type = "vector", arc_type = "standard";
  int32_t version = 2, flags = 0;
  int64_t start = 0;

  std::string bytes() const {
    std::string out;
    put<int32_t>(out, 2125659606);
    for (const std::string& name : {type, arc_type}) {
      put<int32_t>(out, int32_t(name.size()));
      out += name;
    }
    put(out, version);
    put(out, flags);
    put<uint64_t>(out, 0);
    put(out, start);
    put<int64_t>(out, int64_t(states.size()));
    put<int64_t>(out, 0);
    for (const FstState& state : states) {
      put(out, state.final_weight);
      put<int64_t>(out, int64_t(state.arcs.size()));
      for (const FstArc& arc : state.arcs) {
        put(out, arc.input);
        put(out, arc.output);
        put(out, arc.weight);
        put(out, arc.next);
      }
    }
    return out;
  }

 private:
  template <typename T>
  static void put(std::string& out, T value) {
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    out.append(raw, sizeof(T));
  }
};

// One state that writes text around whatever bytes of `alphabet` it reads:
// `before` first, `after` last.
inline FstFile wrapping_fst(const std::string& before, const std::string& alphabet,
                            const std::string& after) {
  FstFile file;
  for (const char c : before) {
    file.states.push_back({{{0, uint8_t(c), 0, int32_t(file.states.size()) + 1}}});
  }
  FstState loop;
  const auto here = int32_t(file.states.size());
  loop.arcs.push_back({0, 0, 0, here + 1});
  for (const char c : alphabet) loop.arcs.push_back({uint8_t(c), uint8_t(c), 0, here});
  file.states.push_back(loop);
  for (const char c : after) {
    file.states.push_back({{{0, uint8_t(c), 0, int32_t(file.states.size()) + 1}}});
  }
  file.states.push_back({{}, 0});
  return file;
}

}  // namespace ttsft::test
