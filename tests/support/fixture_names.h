// What the tests of random checkpoints share.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "ttsft/model/adapter.h"

namespace ttsft::test {

// Numbers of layers differ between sizes; what they are called does not.
inline std::string without_numbers(std::string name) {
  for (char& c : name) {
    if (c >= '0' && c <= '9') c = '#';
    if (c == '/') c = '.';
  }
  for (size_t at; (at = name.find("##")) != std::string::npos;) name.erase(at, 1);
  return name;
}

inline const FixtureFile& file_of(const std::vector<FixtureFile>& files, const std::string& path) {
  for (const FixtureFile& file : files)
    if (file.path == path) return file;
  throw std::logic_error("no " + path);
}

}  // namespace ttsft::test
