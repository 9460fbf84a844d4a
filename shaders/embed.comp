#version 450
// out (tokens, width) = rows of one part of the table; ids outside the part belong to another dispatch.
layout(local_size_x = 64) in;
layout(constant_id = 0) const uint HALF = 0;  // 1: the table is float16, two values a word, rows padded to whole words
layout(binding = 0) readonly buffer Table { uint table[]; };
layout(binding = 1) readonly buffer Ids { int ids[]; };
layout(binding = 2) writeonly buffer Out { float result[]; };
layout(push_constant) uniform Push { uint tokens, width, first_row, rows; };

void main() {
  const uint column = gl_GlobalInvocationID.x, token = gl_WorkGroupID.y;
  if (column >= width) return;
  const uint id = uint(ids[token]);
  if (id < first_row || id >= first_row + rows) return;
  const uint row = id - first_row;
  float value;
  if (HALF == 1u) {
    const vec2 pair = unpackHalf2x16(table[row * ((width + 1u) / 2u) + column / 2u]);
    value = (column & 1u) == 0u ? pair.x : pair.y;
  } else {
    value = uintBitsToFloat(table[row * width + column]);
  }
  result[token * width + column] = value;
}
