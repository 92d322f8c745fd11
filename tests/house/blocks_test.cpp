// The table of blocks in docs/architecture.md against the sources: a model reaches the headers of a
// row, by its own #include lines or through those of what it includes, where its cell says so, and
// nowhere else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "support/temporary_folder.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Folders = std::map<std::string, std::string>;  // a column's title -> the model's folder

struct Row {
  int line = 0;
  std::vector<std::string> blocks;   // "nn/kv_cache"
  std::map<std::string, bool> used;  // by model folder
};

std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells;
  size_t begin = line.find('|');
  while (begin != std::string::npos) {
    const size_t end = line.find('|', begin + 1);
    if (end == std::string::npos) break;
    std::string cell = line.substr(begin + 1, end - begin - 1);
    cell.erase(0, cell.find_first_not_of(' '));
    cell.erase(cell.find_last_not_of(' ') + 1);
    cells.push_back(cell);
    begin = end;
  }
  return cells;
}

// Columns that are no model's (planned ones) are not looked at.
std::vector<Row> read_table(const fs::path& page, const Folders& folders) {
  static const std::regex block(R"(`([a-z0-9_]+/[a-z0-9_]+)`)");
  std::ifstream stream(page);
  std::string line;
  std::vector<std::string> columns;  // model folder of each, "" for others
  std::vector<Row> rows;
  for (int number = 1; std::getline(stream, line); ++number) {
    const std::vector<std::string> cells = cells_of(line);
    if (columns.empty()) {
      if (cells.size() < 3 || cells[0] != "block" || cells[1] != "where") continue;
      for (const std::string& title : cells) {
        const auto folder = folders.find(title);
        columns.push_back(folder == folders.end() ? std::string() : folder->second);
      }
      continue;
    }
    if (cells.empty()) break;  // the table ends
    if (cells[0].starts_with("--")) continue;
    Row row;
    row.line = number;
    for (std::sregex_iterator at(cells.at(1).begin(), cells.at(1).end(), block), end; at != end;
         ++at)
      row.blocks.push_back((*at)[1]);
    for (size_t i = 2; i < cells.size() && i < columns.size(); ++i)
      if (!columns[i].empty()) row.used[columns[i]] = cells[i] != "–";
    rows.push_back(row);
  }
  return rows;
}

// Adds "nn/kv_cache" for every #include of a file, and what that header and its source include.
void follow(const fs::path& root, const fs::path& file, std::set<std::string>& reached) {
  static const std::regex include_line(R"re(^\s*#\s*include\s*"ttsft/(\w+/\w+)\.h".*)re");
  std::ifstream stream(file);
  std::string line;
  while (std::getline(stream, line)) {
    std::smatch match;
    if (!std::regex_match(line, match, include_line)) continue;
    const std::string name = match[1];
    if (!reached.insert(name).second) continue;
    follow(root, root / "include/ttsft" / (name + ".h"), reached);
    follow(root, root / "src" / (name + ".cpp"), reached);
  }
}

// Without fixture/, which writes random checkpoints and runs nothing.
std::set<std::string> reached_by(const fs::path& root, const std::string& folder) {
  std::set<std::string> reached;
  for (const auto& entry : fs::directory_iterator(root / "models" / folder))
    if (entry.is_regular_file()) follow(root, entry.path(), reached);
  return reached;
}

std::vector<std::string> untruths(const fs::path& root, const Folders& folders) {
  std::map<std::string, std::set<std::string>> reached;
  for (const auto& column : folders) reached[column.second] = reached_by(root, column.second);
  std::vector<std::string> wrong;
  for (const Row& row : read_table(root / "docs/architecture.md", folders)) {
    const std::string where = "docs/architecture.md:" + std::to_string(row.line) + ": ";
    if (row.blocks.empty()) wrong.push_back(where + "no header is named");
    for (const std::string& block : row.blocks) {
      if (!fs::exists(root / "include/ttsft" / (block + ".h"))) {
        wrong.push_back(where + "there is no " + block);
        continue;
      }
      for (const auto& cell : row.used) {
        const bool uses = reached[cell.first].contains(block);
        if (uses != cell.second)
          wrong.push_back(where + cell.first + (uses ? " uses " : " does not use ") + block);
      }
    }
  }
  return wrong;
}

TEST(Blocks, TheTableIsTrue) {
  const Folders folders = {{"Qwen3-TTS", "qwen3_tts"},     {"Chatterbox", "chatterbox"},
                           {"IndexTTS2", "indextts2"},     {"CosyVoice 3", "cosyvoice3"},
                           {"Fish S2 Pro", "fish_s2_pro"}, {"Voxtral TTS", "voxtral"}};
  const fs::path root = TTSFT_SOURCE_DIR;
  const std::vector<Row> rows = read_table(root / "docs/architecture.md", folders);
  EXPECT_GT(rows.size(), 25u);
  for (const Row& row : rows) EXPECT_EQ(row.used.size(), folders.size()) << "line " << row.line;
  EXPECT_THAT(untruths(root, folders), IsEmpty());
}

TEST(Blocks, AnUntruthIsNamedByItsLine) {
  const TemporaryFolder root;
  root.write("docs/architecture.md",
             "| block | where | One | Two | planned |\n|---|---|---|---|---|\n"
             "| a | `nn/a` | yes | – | – |\n"
             "| b | `nn/b` | – | yes | – |\n"
             "| c, d | `nn/c`, `codec/d` | – | yes | – |\n"
             "| e | `nn/e` | yes | – | – |\n"
             "| f | f | – | – | – |\n"
             "\n| g | `nn/g` | yes | yes | – |\n");
  for (const char* name : {"nn/a", "nn/b", "nn/e"})
    root.write("include/ttsft/" + std::string(name) + ".h", "#pragma once\n");
  root.write("include/ttsft/codec/d.h", "#include \"ttsft/nn/a.h\"\n");
  root.write("src/codec/d.cpp", "#include \"ttsft/nn/b.h\"\n");
  root.write("models/one/x.cpp", "#include \"ttsft/nn/a.h\"\n");
  root.write("models/one/fixture/x.cpp", "#include \"ttsft/nn/e.h\"\n");
  root.write("models/two/x.cpp", "#include \"ttsft/codec/d.h\"\n");
  EXPECT_THAT(
      untruths(root.path(), {{"One", "one"}, {"Two", "two"}}),
      ElementsAre(HasSubstr("md:3: two uses nn/a"), HasSubstr("md:5: there is no nn/c"),
                  HasSubstr("md:6: one does not use nn/e"), HasSubstr("md:7: no header is named")));
}

}  // namespace
}  // namespace ttsft
