#pragma once
// The one JSON form of a LayerScheme: `effective` of manifest.json and `scheme` in the metadata of a layer file. A field that
// is added later is read with its default where an older file lacks it.
#include "base/json_reader.h"
#include "correction/solve.h"

namespace lrc {

Json to_json(const LayerScheme& scheme);
/// Throws Error(bad_file) naming the key.
LayerScheme scheme_from_json(const JsonReader& in);

}  // namespace lrc
