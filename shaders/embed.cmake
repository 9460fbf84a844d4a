file(READ ${WORDS} words)
file(WRITE ${OUT} "#pragma once\n#include <cstdint>\nnamespace lrc::spirv {\ninline constexpr std::uint32_t ${NAME}[] = {\n${words}};\n}\n")
