#version 450
#extension GL_GOOGLE_include_directive : require
// One workgroup a token: out = x / sqrt(mean(x²) + epsilon) · gain.
layout(local_size_x = 64) in;
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) readonly buffer Gain { float gain[]; };
layout(binding = 2) writeonly buffer Out { float result[]; };
layout(push_constant) uniform Push { uint tokens, width; float epsilon; };
#include "reduce.glsl"

void main() {
  const uint lane = gl_LocalInvocationID.x, begin = gl_WorkGroupID.x * width;
  float sum = 0.0;
  for (uint i = lane; i < width; i += 64u) sum += x[begin + i] * x[begin + i];
  const float factor = 1.0 / sqrt(workgroup_sum(sum) / float(width) + epsilon);
  for (uint i = lane; i < width; i += 64u) result[begin + i] = x[begin + i] * factor * gain[i];
}
