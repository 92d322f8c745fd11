#include "ttsft/io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/mapped_file.h"

namespace ttsft {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

using nlohmann::json;

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // upstream's own limit
constexpr uint64_t kHeaderAlignment = 8;
constexpr std::string_view kMetadataKey = "__metadata__";
constexpr std::string_view kSingleFile = "model.safetensors";
constexpr std::string_view kIndexFile = "model.safetensors.index.json";
constexpr std::string_view kIndexSuffix = ".index.json";

[[noreturn]] void malformed(const std::filesystem::path& file, const std::string& reason) {
  throw DataError("malformed safetensors: " + reason, file.string(), "download or write it again");
}

// nlohmann keeps the last of two equal keys without a word, so keys are compared while parsing.
json parse_object(std::string_view text, const std::filesystem::path& file) {
  if (!text.starts_with('{')) malformed(file, "the header is not a JSON object");
  std::vector<std::set<std::string>> open_objects;
  const auto check = [&](int, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start) open_objects.emplace_back();
    if (event == json::parse_event_t::object_end) open_objects.pop_back();
    if (event == json::parse_event_t::key) {
      const auto& key = value.get_ref<const std::string&>();
      if (!open_objects.back().insert(key).second) {
        malformed(file, "the header holds '" + key + "' twice");
      }
    }
    return true;
  };
  try {
    return json::parse(text, check);
  } catch (const json::exception& error) {
    malformed(file, std::string("the header is not JSON (") + error.what() + ")");
  }
}

struct Header {
  json content;
  std::span<const std::byte> data;
};

Header read_header(const MappedFile& file) {
  const auto bytes = file.bytes();
  if (bytes.size() < kLengthBytes) {
    malformed(file.path(), std::to_string(bytes.size()) + " bytes are too few for a header");
  }
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kLengthBytes);
  if (length > kMaxHeaderBytes) {
    malformed(file.path(), "a header of " + std::to_string(length) + " bytes is over the limit");
  }
  if (length > bytes.size() - kLengthBytes) {
    malformed(file.path(), "a header of " + std::to_string(length) + " bytes in a file of " +
                               std::to_string(bytes.size()));
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, length);
  return {parse_object(text, file.path()), bytes.subspan(kLengthBytes + length)};
}

// Values that are whole and fit int64; anything else is refused.
int64_t whole_number(const json& value, const std::string& what,
                     const std::filesystem::path& file) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > INT64_MAX) {
    malformed(file, what + " is " + value.dump() + ", not a count");
  }
  return static_cast<int64_t>(value.get<uint64_t>());
}

const json& member(const json& entry, const char* key, const std::string& tensor,
                   const std::filesystem::path& file) {
  const auto found = entry.find(key);
  if (found == entry.end()) malformed(file, tensor + " lacks '" + key + "'");
  return *found;
}

TensorView read_tensor(const std::string& name, const json& entry, std::span<const std::byte> data,
                       const std::filesystem::path& file) {
  const std::string tensor = "tensor '" + name + "'";
  if (!entry.is_object()) malformed(file, tensor + " is not described by an object");
  TensorView view;
  view.name = name;

  const json& dtype = member(entry, "dtype", tensor, file);
  if (!dtype.is_string()) malformed(file, "the dtype of " + tensor + " is not a string");
  try {
    view.dtype = dtype_from_name(dtype.get_ref<const std::string&>());
  } catch (const DataError&) {
    throw DataError(tensor + " has the data type " + dtype.dump() + ", which ttsft does not read",
                    file.string());
  }

  const json& shape = member(entry, "shape", tensor, file);
  if (!shape.is_array()) malformed(file, "the shape of " + tensor + " is not a list");
  int64_t size = dtype_size(view.dtype);
  for (const json& dimension : shape) {
    view.shape.push_back(whole_number(dimension, "a dimension of " + tensor, file));
    if (__builtin_mul_overflow(size, view.shape.back(), &size)) {
      malformed(file, "the shape of " + tensor + " is too large");
    }
  }

  const json& offsets = member(entry, "data_offsets", tensor, file);
  if (!offsets.is_array() || offsets.size() != 2) {
    malformed(file, "data_offsets of " + tensor + " are not two numbers");
  }
  const int64_t begin = whole_number(offsets[0], "a data offset of " + tensor, file);
  const int64_t end = whole_number(offsets[1], "a data offset of " + tensor, file);
  if (begin > end || static_cast<uint64_t>(end) > data.size()) {
    malformed(file, "data_offsets " + offsets.dump() + " of " + tensor + " leave the " +
                        std::to_string(data.size()) + " bytes of data");
  }
  if (end - begin != size) {
    malformed(file, tensor + " of shape " + shape_text(view.shape) + " needs " +
                        std::to_string(size) + " bytes, its data_offsets hold " +
                        std::to_string(end - begin));
  }
  view.bytes = data.subspan(static_cast<size_t>(begin), static_cast<size_t>(size));
  return view;
}

// The format wants every byte of the data to belong to exactly one tensor.
void check_coverage(const std::vector<TensorView>& tensors, std::span<const std::byte> data,
                    const std::filesystem::path& file) {
  std::vector<const TensorView*> in_order;
  for (const TensorView& tensor : tensors) in_order.push_back(&tensor);
  const auto key = [](const TensorView* t) { return std::pair(t->bytes.data(), t->bytes.size()); };
  std::sort(in_order.begin(), in_order.end(),
            [&](const TensorView* a, const TensorView* b) { return key(a) < key(b); });
  const std::byte* covered = data.data();
  for (const TensorView* tensor : in_order) {
    const std::byte* begin = tensor->bytes.data();
    if (begin < covered) malformed(file, "the data of '" + tensor->name + "' overlaps another's");
    if (begin > covered) malformed(file, "unused bytes before the data of '" + tensor->name + "'");
    covered = begin + tensor->bytes.size();
  }
  const auto rest = data.size() - static_cast<size_t>(covered - data.data());
  if (rest > 0) malformed(file, std::to_string(rest) + " bytes at the end belong to no tensor");
}

void read_metadata(const json& entry, std::map<std::string, std::string>& metadata,
                   const std::filesystem::path& file) {
  if (!entry.is_object()) malformed(file, "__metadata__ is not an object");
  for (const auto& [key, value] : entry.items()) {
    if (!value.is_string()) malformed(file, "the metadata '" + key + "' is not a string");
    metadata.emplace(key, value.get<std::string>());
  }
}

// "tensor name" -> "file name" of a sharded model.
std::map<std::string, std::string> read_weight_map(const std::filesystem::path& index) {
  const json content = parse_object(read_text(index), index);
  const auto found = content.find("weight_map");
  if (found == content.end() || !found->is_object() || found->empty()) {
    throw DataError("the index has no weight_map", index.string(), "download the model again");
  }
  std::map<std::string, std::string> weight_map;
  for (const auto& [name, shard] : found->items()) {
    const std::string file = shard.is_string() ? shard.get<std::string>() : "";
    // A shard lies beside its index; a path could point anywhere on the machine.
    if (file.empty() || file == "." || file == ".." || file.find_first_of("/\\") != file.npos) {
      throw DataError(
          "the index places '" + name + "' in " + shard.dump() + ", which is not a plain file name",
          index.string());
    }
    weight_map.emplace(name, file);
  }
  return weight_map;
}

int64_t byte_size(const TensorView& tensor) {
  return shape_size(tensor.shape) * dtype_size(tensor.dtype);
}

// The length and the JSON header, padded so that the data is aligned.
void write_header(std::ostream& out, const std::vector<TensorView>& tensors,
                  const std::map<std::string, std::string>& metadata,
                  const std::filesystem::path& file) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header[std::string(kMetadataKey)] = metadata;
  std::set<std::string_view> names;
  int64_t offset = 0;
  for (const TensorView& tensor : tensors) {
    const int64_t size = byte_size(tensor);
    if (tensor.name == kMetadataKey || !names.insert(tensor.name).second) {
      throw RunError("two tensors are called '" + tensor.name + "'", file.string());
    }
    // Pushed rather than looked up: an ordered object is searched from its start.
    header.get_ref<nlohmann::ordered_json::object_t&>().emplace_back(
        tensor.name, nlohmann::ordered_json{{"dtype", dtype_name(tensor.dtype)},
                                            {"shape", tensor.shape},
                                            {"data_offsets", {offset, offset + size}}});
    offset += size;
  }
  std::string text = header.dump();
  text.resize((text.size() + kHeaderAlignment - 1) / kHeaderAlignment * kHeaderAlignment, ' ');
  const uint64_t length = text.size();
  out.write(reinterpret_cast<const char*>(&length), kLengthBytes);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
}

void write_bytes(std::ostream& out, std::span<const std::byte> bytes) {
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
}

}  // namespace

void SafetensorsReader::add_file(const std::filesystem::path& path) {
  auto file = std::make_shared<MappedFile>(path);
  const Header header = read_header(*file);
  std::vector<TensorView> tensors;
  for (const auto& [name, entry] : header.content.items()) {
    if (name == kMetadataKey) {
      read_metadata(entry, metadata_, path);
    } else {
      tensors.push_back(read_tensor(name, entry, header.data, path));
    }
  }
  check_coverage(tensors, header.data, path);
  files_.push_back(std::move(file));
  tensors_.insert(tensors_.end(), tensors.begin(), tensors.end());
}

SafetensorsReader SafetensorsReader::open(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  SafetensorsReader reader;
  reader.path_ = path;
  if (fs::is_directory(path)) {
    if (fs::exists(path / kSingleFile)) {
      reader.path_ = path / kSingleFile;
    } else if (fs::exists(path / kIndexFile)) {
      reader.path_ = path / kIndexFile;
    } else {
      throw DataError("no " + std::string(kSingleFile) + " or " + std::string(kIndexFile),
                      path.string(), "name the folder of a complete download");
    }
  }
  if (!reader.path_.filename().string().ends_with(kIndexSuffix)) {
    reader.add_file(reader.path_);
    return reader;  // a JSON object is sorted by name already
  }

  const auto weight_map = read_weight_map(reader.path_);
  std::set<std::string> shards;
  for (const auto& [name, shard] : weight_map) shards.insert(shard);
  std::map<std::string, std::string> found_in;
  for (const std::string& shard : shards) {
    const size_t before = reader.tensors_.size();
    reader.add_file(reader.path_.parent_path() / shard);
    for (size_t i = before; i < reader.tensors_.size(); ++i) {
      const auto [place, is_new] = found_in.emplace(reader.tensors_[i].name, shard);
      if (!is_new) {
        throw DataError(
            "tensor '" + place->first + "' is in both " + place->second + " and " + shard,
            reader.path_.string(), "download the model again");
      }
    }
  }
  for (const auto& [name, shard] : weight_map) {
    const auto place = found_in.find(name);
    if (place == found_in.end() || place->second != shard) {
      throw DataError("tensor '" + name + "' is not in " + shard + ", where the index places it",
                      reader.path_.string(), "download the model again");
    }
  }
  reader.sort();
  return reader;
}

void write_safetensors(const std::filesystem::path& file, const std::vector<TensorView>& tensors,
                       const std::map<std::string, std::string>& metadata, Durability durability) {
  for (const TensorView& tensor : tensors) {
    if (std::cmp_not_equal(byte_size(tensor), tensor.bytes.size())) {
      throw RunError("tensor '" + tensor.name + "' of shape " + shape_text(tensor.shape) + " has " +
                         std::to_string(tensor.bytes.size()) + " bytes",
                     file.string());
    }
  }
  AtomicFile out(file, durability);
  write_header(out.stream(), tensors, metadata, file);
  for (const TensorView& tensor : tensors) write_bytes(out.stream(), tensor.bytes);
  out.commit();
}

void stream_safetensors(const std::filesystem::path& file, const std::vector<TensorView>& tensors,
                        const TensorFill& fill,
                        const std::map<std::string, std::string>& metadata,
                        Durability durability) {
  AtomicFile out(file, durability);
  write_header(out.stream(), tensors, metadata, file);
  std::vector<std::byte> values;
  for (const TensorView& tensor : tensors) {
    values.assign(static_cast<size_t>(byte_size(tensor)), std::byte{0});
    fill(tensor, values);
    write_bytes(out.stream(), values);
    if (!out.stream()) break;  // commit() says why
  }
  out.commit();
}

}  // namespace ttsft
