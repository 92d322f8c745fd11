// The part of Python's pickle protocol 2 that torch.save's files are made of.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace ttsft {

class PickleWriter {
 public:
  PickleWriter();  // begins with the protocol

  void none() { bytes_ += 'N'; }
  void boolean(bool value) { bytes_ += value ? '\x88' : '\x89'; }
  void integer(int64_t value);
  void real(double value);
  void text(std::string_view value);  // UTF-8

  // What is written often stands once: later ones refer to it.
  void shared_text(const std::string& value);
  void global(const std::string& module, const std::string& name);

  // Containers: begin, then the items (for a dict key and value in turn), then end.
  void begin_list() { bytes_ += "]("; }
  void end_list() { bytes_ += 'e'; }
  void begin_dict() { bytes_ += "}("; }
  void end_dict() { bytes_ += 'u'; }
  void begin_tuple() { bytes_ += '('; }
  void end_tuple() { bytes_ += 't'; }

  void call() { bytes_ += 'R'; }           // of the global and the tuple before
  void persistent_id() { bytes_ += 'Q'; }  // of the tuple before

  std::string finish();  // the whole pickle

 private:
  bool recall(const std::string& what);  // false: it is new, and remember() is due after it
  void remember(const std::string& what);

  std::string bytes_;
  std::map<std::string, uint32_t> memo_;
};

}  // namespace ttsft
