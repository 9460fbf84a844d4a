#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_shader_8bit_storage : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
// Keys or values (tokens, width) into rows of a quantized cache: the activation quantizer's numbers counted from 0, two to a byte
// where they are nibbles. One group a workgroup.
layout(local_size_x = 64) in;
layout(constant_id = 0) const uint nibbles = 0u;
layout(constant_id = 1) const uint symmetric = 0u;
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) writeonly buffer Codes { uint8_t codes[]; };
layout(binding = 2) writeonly buffer Scales { float scales[]; };
layout(binding = 3) writeonly buffer Zeros { uint8_t zeros[]; };
layout(push_constant) uniform Push {
  uint total, group_size, groups, first_row, code_bytes;
  float factor, clip, middle, highest;
};
#include "reduce.glsl"
#include "quantize_code.glsl"

void main() {
  const uint lane = gl_LocalInvocationID.x;
  const uint index = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x;
  if (index >= total) return;
  const uint begin = index * group_size, row = first_row + index / groups, group = index % groups;
  float high = 0.0, low = 0.0;
  for (uint i = lane; i < group_size; i += 64u) {
    high = max(high, x[begin + i]);
    low = max(low, -x[begin + i]);
  }
  high = workgroup_max(high);
  low = workgroup_max(low);
  precise const float extent = symmetric != 0u ? max(high, low) : high + low;
  precise const float scale = extent * factor;
  precise const float clipped = low * clip;
  float zero = middle;
  if (symmetric == 0u && scale != 0.0) zero = code_of(clipped, scale, 0.0, highest);
  if (lane == 0u) {
    scales[row * groups + group] = scale;
    zeros[row * groups + group] = uint8_t(uint(zero));
  }
  const uint per_byte = nibbles != 0u ? 2u : 1u, first_byte = row * code_bytes + group * group_size / per_byte;
  for (uint i = lane; i < group_size / per_byte; i += 64u) {
    uint byte = 0u;
    for (uint j = 0u; j < per_byte; ++j) {
      const float number = scale != 0.0 ? code_of(x[begin + i * per_byte + j], scale, -zero, highest - zero) : 0.0;
      byte |= uint(int(number + zero)) << (4u * j);
    }
    codes[first_byte + i] = uint8_t(byte);
  }
}
