// A thread writes an element, as it is.

fn store(value: bool, at: u32, row: u32, head: u32, i: u32) {
    let word = bitcast<u32>(element(row, value, head, i));
    if (value) {
        values[at + i] = word;
    } else {
        keys[at + i] = word;
    }
}
