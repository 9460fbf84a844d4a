#version 450
// result (·, columns) = columns [first, first + columns) of x (·, width); `count` numbers in all.
layout(local_size_x = 64) in;
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) writeonly buffer Out { float result[]; };
layout(push_constant) uniform Push { uint count, width, first, columns; };

void main() {
  for (uint i = gl_GlobalInvocationID.x; i < count; i += gl_NumWorkGroups.x * 64u)
    result[i] = x[i / columns * width + first + i % columns];
}
