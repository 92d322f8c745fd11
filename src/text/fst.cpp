#include "fst.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>

#include "ttsft/core/error.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little, "OpenFst writes little-endian files");

constexpr int32_t kMagic = 2125659606;  // OpenFst: fst.h, kFstMagicNumber
constexpr int32_t kVersion = 2;
constexpr int32_t kHasInputSymbols = 1, kHasOutputSymbols = 2, kIsAligned = 4;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

class Bytes {
 public:
  explicit Bytes(const fs::path& file) : file_(file) {
    std::ifstream in(file, std::ios::binary);
    data_.assign(std::istreambuf_iterator<char>(in), {});
    if (!in || in.bad()) fail("cannot be read");
  }

  template <typename T>
  T next() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string_view text() { return take(size_t(std::max(next<int32_t>(), 0))); }
  size_t rest() const { return data_.size() - at_; }

  [[noreturn]] void fail(const std::string& what) const {
    throw DataError("the text grammar " + what, file_.string(),
                    "fetch the grammars again: remove their folder and run tools/setup");
  }

 private:
  std::string_view take(size_t size) {
    if (size > rest()) fail("ends too early");
    const std::string_view part(data_.data() + at_, size);
    at_ += size;
    return part;
  }

  fs::path file_;
  std::string data_;
  size_t at_ = 0;
};

struct Header {
  int64_t start, states;
};

// OpenFst: lib/fst.cc, FstHeader::Read.
Header read_header(Bytes& in) {
  if (in.next<int32_t>() != kMagic) in.fail("is not an OpenFst file");
  const std::string type(in.text()), arc(in.text());
  const auto version = in.next<int32_t>(), flags = in.next<int32_t>();
  if (type != "vector" || arc != "standard" || version != kVersion) {
    in.fail("is of type " + type + "/" + arc + ", version " + std::to_string(version) +
            ", not vector/standard, version 2");
  }
  if ((flags & (kHasInputSymbols | kHasOutputSymbols | kIsAligned)) != 0) {
    in.fail("has symbol tables or aligned parts, which are not supported");
  }
  in.next<uint64_t>();  // properties, which OpenFst takes on trust
  const auto start = in.next<int64_t>(), states = in.next<int64_t>();
  in.next<int64_t>();  // arcs in all
  // A state takes 12 bytes at least.
  if (states < 1 || size_t(states) > in.rest() / 12 || start < 0 || start >= states) {
    in.fail("has a damaged header");
  }
  return {start, states};
}

}  // namespace

Fst Fst::from_file(const fs::path& file) {
  Bytes in(file);
  const Header header = read_header(in);
  Fst fst;
  fst.start_ = int32_t(header.start);
  fst.final_.reserve(size_t(header.states));
  fst.arcs_of_.reserve(size_t(header.states) + 1);
  fst.labelled_.reserve(size_t(header.states));
  for (int64_t state = 0; state < header.states; ++state) {
    fst.final_.push_back(in.next<float>());
    const auto count = in.next<int64_t>();
    if (count < 0 || size_t(count) > in.rest() / 16) in.fail("has a damaged state");
    const size_t begin = fst.arcs_.size();
    fst.arcs_of_.push_back(int64_t(begin));
    for (int64_t i = 0; i < count; ++i) {
      const auto input = in.next<int32_t>(), output = in.next<int32_t>();
      const auto weight = in.next<float>();
      const auto next = in.next<int32_t>();
      if (input < 0 || input > 255 || output < 0 || output > 255) in.fail("is not over bytes");
      if (next < 0 || next >= header.states || std::isnan(weight)) in.fail("has a damaged arc");
      fst.arcs_.push_back({next, weight, uint8_t(input), uint8_t(output)});
    }
    const auto first = fst.arcs_.begin() + std::ptrdiff_t(begin);
    std::stable_sort(first, fst.arcs_.end(),
                     [](const Arc& a, const Arc& b) { return a.input < b.input; });
    const auto labelled =
        std::find_if(first, fst.arcs_.end(), [](const Arc& arc) { return arc.input != 0; });
    fst.labelled_.push_back(labelled - fst.arcs_.begin());
  }
  fst.arcs_of_.push_back(int64_t(fst.arcs_.size()));
  if (fst.has_silent_circle()) in.fail("has a circle that reads nothing");
  return fst;
}

// The grammars are full of equally cheap readings ("a hundred", "one hundred"), and which one comes
// out hangs on the order in which OpenFst looks at the states of the composed machine. So this is
// OpenFst's order: Compose's arcs (those that read nothing, then those that read the next byte),
// depth first from the start, states in topological order, a way kept until a cheaper one comes.
struct Fst::Search {
  struct Edge {
    int32_t target, arc;
  };
  struct Node {
    int32_t state;
    // Edges that read nothing (of the own layer), then edges that read a byte.
    int32_t silent = 0, silent_end = 0, reading = 0, reading_end = 0;
    bool seen = false, live = false, queued = false;
    float cost = kInfinity;
    int32_t parent = -1, arc = -1;

    int32_t edge_count() const { return silent_end - silent + reading_end - reading; }
    int32_t edge(int32_t i) const {
      const int32_t count = silent_end - silent;
      return i < count ? silent + i : reading + i - count;
    }
  };

  explicit Search(const Fst& grammar) : fst(grammar), node_of(grammar.final_.size(), -1) {}

  // Every state that some prefix of the input leads to, with its edges. A layer holds the states
  // behind the same number of bytes.
  bool expand(std::string_view input) {
    node(fst.start_);
    for (const char byte : input) {
      if (byte == '\0') return false;
      const int32_t begin = layer;
      add_silent_edges();
      layer = int32_t(nodes.size());
      for (int32_t i = begin; i < layer; ++i) add_reading_edges(i, uint8_t(byte));
      if (size_t(layer) == nodes.size()) return false;
    }
    add_silent_edges();
    return true;
  }

  int32_t node(int32_t state) {
    int32_t& index = node_of[size_t(state)];
    if (index < layer) {  // of an earlier layer, or none
      index = int32_t(nodes.size());
      nodes.push_back({state});
    }
    return index;
  }

  void add_silent_edges() {
    for (auto i = size_t(layer); i < nodes.size(); ++i) {
      const auto state = size_t(nodes[i].state);
      nodes[i].silent = int32_t(edges.size());
      for (int64_t a = fst.arcs_of_[state]; a < fst.labelled_[state]; ++a) {
        edges.push_back({node(fst.arcs_[size_t(a)].next), int32_t(a)});
      }
      nodes[i].silent_end = int32_t(edges.size());
    }
  }

  void add_reading_edges(int32_t from, uint8_t byte) {
    const auto state = size_t(nodes[size_t(from)].state);
    const Arc* first = fst.arcs_.data();
    const Arc* last = first + fst.arcs_of_[state + 1];
    const Arc* arc = std::lower_bound(
        first + fst.labelled_[state], last, byte,
        [](const Arc& candidate, uint8_t wanted) { return candidate.input < wanted; });
    nodes[size_t(from)].reading = int32_t(edges.size());
    for (; arc != last && arc->input == byte; ++arc) {
      edges.push_back({node(arc->next), int32_t(arc - first)});
    }
    nodes[size_t(from)].reading_end = int32_t(edges.size());
  }

  // Fills `finished`, successors first, and marks the nodes from which the end can be reached.
  void visit_depth_first() {
    std::vector<std::pair<int32_t, int32_t>> stack = {{0, 0}};  // node, its next edge
    nodes[0].seen = true;
    while (!stack.empty()) {
      auto& [index, next] = stack.back();
      Node& from = nodes[size_t(index)];
      if (next < from.edge_count()) {
        const int32_t target = edges[size_t(from.edge(next++))].target;
        if (nodes[size_t(target)].seen) continue;
        nodes[size_t(target)].seen = true;
        stack.emplace_back(target, 0);
        continue;
      }
      from.live = final_weight(index) != kInfinity;
      for (int32_t i = 0; i < from.edge_count(); ++i) {
        const Edge& edge = edges[size_t(from.edge(i))];
        if (!nodes[size_t(edge.target)].live) continue;
        from.live = true;
        weighted = weighted || fst.arcs_[size_t(edge.arc)].weight != 0;
      }
      finished.push_back(index);
      stack.pop_back();
    }
  }

  float final_weight(int32_t index) const {
    return index < layer ? kInfinity : fst.final_[size_t(nodes[size_t(index)].state)];
  }

  // Takes the cost of a node on to its successors; calls improved(target) where that lowers one.
  template <typename Fn>
  void relax(int32_t index, const Fn& improved) {
    const Node& from = nodes[size_t(index)];
    if (const float whole = from.cost + final_weight(index); whole < best_cost) {
      best_cost = whole;
      best = index;
    }
    for (int32_t i = 0; i < from.edge_count(); ++i) {
      const Edge& edge = edges[size_t(from.edge(i))];
      Node& to = nodes[size_t(edge.target)];
      const float cost = from.cost + fst.arcs_[size_t(edge.arc)].weight;
      if (!to.live || !(cost < to.cost)) continue;
      to.cost = cost;
      to.parent = index;
      to.arc = edge.arc;
      improved(edge.target);
    }
  }

  void find_cheapest() {
    nodes[0].cost = 0;
    if (weighted) {
      for (auto at = finished.rbegin(); at != finished.rend(); ++at) {
        if (nodes[size_t(*at)].live) relax(*at, [](int32_t) {});
      }
      return;
    }
    // OpenFst takes the last in first where no arc has a weight.
    std::vector<int32_t> stack = {0};
    while (!stack.empty()) {
      const int32_t index = stack.back();
      stack.pop_back();
      nodes[size_t(index)].queued = false;
      relax(index, [&](int32_t target) {
        if (!nodes[size_t(target)].queued) stack.push_back(target);
        nodes[size_t(target)].queued = true;
      });
    }
  }

  std::string output() const {
    std::string text;
    for (int32_t at = best; nodes[size_t(at)].parent >= 0; at = nodes[size_t(at)].parent) {
      const uint8_t byte = fst.arcs_[size_t(nodes[size_t(at)].arc)].output;
      if (byte != 0) text += char(byte);
    }
    std::reverse(text.begin(), text.end());
    return text;
  }

  const Fst& fst;
  std::vector<Node> nodes;
  std::vector<Edge> edges;
  std::vector<int32_t> node_of;  // by state; of the current layer when not below `layer`
  int32_t layer = 0;             // its first node
  std::vector<int32_t> finished;
  bool weighted = false;
  float best_cost = kInfinity;
  int32_t best = -1;
};

std::optional<std::string> Fst::transduce(std::string_view input) const {
  Search search(*this);
  if (!search.expand(input)) return std::nullopt;
  search.visit_depth_first();
  if (!search.nodes[0].live) return std::nullopt;
  search.find_cheapest();
  return search.output();
}

// A depth-first walk along the arcs that read nothing: a state met again on the way is a circle.
bool Fst::has_silent_circle() const {
  enum : uint8_t { kNew, kOpen, kDone };
  std::vector<uint8_t> mark(final_.size(), kNew);
  std::vector<std::pair<int32_t, int64_t>> stack;  // state, its next arc
  for (size_t root = 0; root < mark.size(); ++root) {
    if (mark[root] != kNew) continue;
    mark[root] = kOpen;
    stack.emplace_back(int32_t(root), arcs_of_[root]);
    while (!stack.empty()) {
      auto& [state, next] = stack.back();
      if (next == labelled_[size_t(state)]) {
        mark[size_t(state)] = kDone;
        stack.pop_back();
        continue;
      }
      const int32_t target = arcs_[size_t(next++)].next;
      if (mark[size_t(target)] == kOpen) return true;
      if (mark[size_t(target)] == kDone) continue;
      mark[size_t(target)] = kOpen;
      stack.emplace_back(target, arcs_of_[size_t(target)]);
    }
  }
  return false;
}

}  // namespace ttsft
