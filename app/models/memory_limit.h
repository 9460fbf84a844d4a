#pragma once
// What runs may hold in memory, chosen once in the settings: it decides how the work is cut, never a result.
#include <QtGlobal>

namespace lrc::app {

quint64 memory_limit();  ///< bytes; 0: what is free
void set_memory_limit(quint64 bytes);

}  // namespace lrc::app
