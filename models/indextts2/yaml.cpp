#include "models/indextts2/yaml.h"

#include <yaml-cpp/yaml.h>

#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft::indextts2 {
namespace {

using Json = nlohmann::ordered_json;

Json scalar(const YAML::Node& node) {
  if (node.Tag() == "!") return node.Scalar();  // in quotes
  int64_t whole;
  double real;
  bool flag;
  if (YAML::convert<int64_t>::decode(node, whole)) return whole;
  if (YAML::convert<double>::decode(node, real)) return real;
  if (YAML::convert<bool>::decode(node, flag)) return flag;
  return node.Scalar();
}

Json to_json(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Map: {
      Json object = Json::object();
      for (const auto& item : node) object[item.first.Scalar()] = to_json(item.second);
      return object;
    }
    case YAML::NodeType::Sequence: {
      Json array = Json::array();
      for (const auto& item : node) array.push_back(to_json(item));
      return array;
    }
    case YAML::NodeType::Scalar:
      return scalar(node);
    default:
      return nullptr;
  }
}

}  // namespace

nlohmann::ordered_json read_yaml_object(const std::filesystem::path& file) {
  Json json;
  try {
    json = to_json(YAML::Load(read_text(file)));
  } catch (const YAML::Exception& error) {
    throw DataError("not a YAML file: " + error.msg,
                    file.string() + ":" + std::to_string(error.mark.line + 1));
  }
  if (!json.is_object()) throw DataError("not a YAML map", file.string());
  return json;
}

}  // namespace ttsft::indextts2
