#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_shader_8bit_storage : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
// The one activation quantizer: scale = max|x| · factor (one float32 product, the factor rounded once on the host), codes by
// comparison.
layout(local_size_x = 64) in;
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) writeonly buffer Codes { int8_t codes[]; };
layout(binding = 2) writeonly buffer Scales { float scales[]; };
layout(push_constant) uniform Push { uint groups, group_size; float factor, lowest, highest; };
#include "reduce.glsl"
#include "quantize_code.glsl"

void main() {
  const uint lane = gl_LocalInvocationID.x;
  const uint group = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x;
  if (group >= groups) return;
  const uint begin = group * group_size;
  float largest = 0.0;
  for (uint i = lane; i < group_size; i += 64u) largest = max(largest, abs(x[begin + i]));
  precise const float scale = workgroup_max(largest) * factor;
  if (lane == 0u) scales[group] = scale;
  for (uint i = lane; i < group_size; i += 64u)
    codes[begin + i] = int8_t(int(scale != 0.0 ? code_of(x[begin + i], scale, lowest, highest) : 0.0));
}
