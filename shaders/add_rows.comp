#version 450
// Row rows[i] of result += factors[i] · row i of x; no row is named twice. `count` numbers in all.
layout(local_size_x = 64) in;
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) readonly buffer Rows { uint rows[]; };
layout(binding = 2) readonly buffer Factors { float factors[]; };
layout(binding = 3) buffer Out { float result[]; };
layout(push_constant) uniform Push { uint count, width; };

void main() {
  for (uint i = gl_GlobalInvocationID.x; i < count; i += gl_NumWorkGroups.x * 64u)
    result[rows[i / width] * width + i % width] += factors[i / width] * x[i];
}
