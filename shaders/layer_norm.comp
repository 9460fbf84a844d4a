#version 450
#extension GL_GOOGLE_include_directive : require
// One workgroup a token: out = (x − mean) / sqrt(variance + epsilon) · gain + bias.
layout(local_size_x = 64) in;
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) readonly buffer Gain { float gain[]; };
layout(binding = 2) readonly buffer Bias { float bias[]; };
layout(binding = 3) writeonly buffer Out { float result[]; };
layout(push_constant) uniform Push { uint width; float epsilon; };
#include "reduce.glsl"

void main() {
  const uint lane = gl_LocalInvocationID.x, begin = gl_WorkGroupID.x * width;
  float sum = 0.0;
  for (uint i = lane; i < width; i += 64u) sum += x[begin + i];
  const float mean = workgroup_sum(sum) / float(width);
  float squares = 0.0;
  for (uint i = lane; i < width; i += 64u) squares += (x[begin + i] - mean) * (x[begin + i] - mean);
  const float factor = 1.0 / sqrt(workgroup_sum(squares) / float(width) + epsilon);
  for (uint i = lane; i < width; i += 64u) result[begin + i] = (x[begin + i] - mean) * factor * gain[i] + bias[i];
}
