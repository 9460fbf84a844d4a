#version 450
// Each row of x (count / width rows) += bias.
layout(local_size_x = 64) in;
layout(binding = 0) buffer X { float x[]; };
layout(binding = 1) readonly buffer Bias { float bias[]; };
layout(push_constant) uniform Push { uint count, width; };

void main() {
  for (uint i = gl_GlobalInvocationID.x; i < count; i += gl_NumWorkGroups.x * 64u) x[i] += bias[i % width];
}
