#include "base/json.h"

#include "base/error.h"
#include "base/files.h"

namespace lrc {

Json parse_json(std::string_view text, const std::string& origin) {
  constexpr int deepest = 256;
  try {
    Json value = Json::parse(text, [&](int depth, Json::parse_event_t, Json&) {
      if (depth > deepest) {

        throw Error(ErrorKind::bad_file, origin + " is nested deeper than " + std::to_string(deepest) + " levels.");
      }
      return true;
    });
    return value;
  } catch (const nlohmann::json::parse_error& e) {
    throw Error(ErrorKind::bad_file, origin + " is not valid JSON at byte " + std::to_string(e.byte) + ".");
  }
}

Json read_json_file(const std::filesystem::path& file) { return parse_json(read_file(file), file.string()); }

}  // namespace lrc
