// The rows of a prepared set, parsed one at a time from the mapped row files: a set of 1000 hours
// is 20 GB as a tree of JSON.
#pragma once

#include <cstddef>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "ttsft/io/mapped_file.h"

namespace ttsft {

struct PreparedRow {
  std::string id;
  std::string key;  // content hash of all that decided the row: audio bytes, text, encoder, options
  double seconds = 0;            // of audio
  nlohmann::ordered_json row;    // as it stands in train.jsonl
  nlohmann::ordered_json notes;  // what prep found out about the recording; null: nothing
};

// A sequence of PreparedRow by value. Reading is const and thread-safe.
class PreparedRows {
 public:
  // All of a row but its content, which is a line of a mapped file.
  struct Entry {
    std::string id, key;
    double seconds = 0;
    std::string notes;  // JSON; "" for none
    std::shared_ptr<const MappedFile> file;
    size_t begin = 0, length = 0;

    std::string_view text() const;
    PreparedRow parse() const;  // DataError when the line is not JSON
  };

  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  void add(Entry entry) { entries_.push_back(std::move(entry)); }
  const std::vector<Entry>& entries() const { return entries_; }

  PreparedRow operator[](size_t i) const { return entries_[i].parse(); }
  PreparedRow at(size_t i) const { return entries_.at(i).parse(); }

  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = PreparedRow;
    using difference_type = std::ptrdiff_t;
    using pointer = const PreparedRow*;
    using reference = PreparedRow;

    explicit Iterator(const Entry* entry) : entry_(entry) {}
    PreparedRow operator*() const { return entry_->parse(); }
    Iterator& operator++() {
      ++entry_;
      return *this;
    }
    bool operator==(const Iterator&) const = default;

   private:
    const Entry* entry_;
  };
  Iterator begin() const { return Iterator(entries_.data()); }
  Iterator end() const { return Iterator(entries_.data() + entries_.size()); }

 private:
  std::vector<Entry> entries_;
};

}  // namespace ttsft
