"""What the tests in the virtual machine judge by."""
