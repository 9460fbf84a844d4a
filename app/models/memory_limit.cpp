#include "models/memory_limit.h"

#include <QSettings>
#include <algorithm>

namespace lrc::app {

namespace {

constexpr char key[] = "devices/memoryLimitGib";
constexpr double gibibyte = 1024.0 * 1024 * 1024;

}  // namespace

quint64 memory_limit() { return quint64(std::max(0.0, QSettings().value(key, 0).toDouble()) * gibibyte); }

void set_memory_limit(quint64 bytes) { QSettings().setValue(key, double(bytes) / gibibyte); }

}  // namespace lrc::app
