#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_shader_8bit_storage : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
// Attention over a quantized cache: keys are its first `capacity` rows, values those behind; value = (code − zero) · scale.
layout(constant_id = 0) const uint nibbles = 0u;
layout(binding = 2) readonly buffer Codes { uint8_t codes[]; };
layout(binding = 3) readonly buffer Scales { float scales[]; };
layout(binding = 4) readonly buffer Zeros { uint8_t zeros[]; };
#include "attention.glsl"

float cached(uint row, uint i) {
  const uint at = row * groups + i / group;
  uint code;
  if (nibbles != 0u)
    code = uint(codes[row * code_bytes + i / 2u]) >> (4u * (i & 1u)) & 15u;
  else
    code = uint(codes[row * code_bytes + i]);
  return float(int(code) - int(uint(zeros[at]))) * scales[at];
}
float key_at(uint position, uint kv_head, uint d) { return cached(position, kv_head * head_dim + d); }
float value_at(uint position, uint kv_head, uint d) { return cached(capacity + position, kv_head * head_dim + d); }
